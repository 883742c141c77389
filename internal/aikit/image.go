package aikit

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// PullRegistry is where nodes get images from that were built here: the registry's port on each of them.
const PullRegistry = "localhost:30500"

// Spec is an image that is to be built.
type Spec struct {
	// ModelID and File are a repository of Hugging Face and a GGUF file in it.
	ModelID, File string
	// Name and Tag of the image.
	Name, Tag string
}

// Image is the name with the tag.
func (s Spec) Image() string { return s.Name + ":" + s.Tag }

// Ref is where nodes find the image.
func (s Spec) Ref() string { return PullRegistry + "/" + s.Image() }

// source is what AIKit calls the model.
func (s Spec) source() string { return "huggingface://" + s.ModelID + "/" + s.File }

var (
	modelID   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	ggufFile  = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._+-]*/)*[A-Za-z0-9][A-Za-z0-9._+-]*\.gguf$`)
	imageName = regexp.MustCompile(`^[a-z0-9]+((\.|_|-+)[a-z0-9]+)*$`)
	imageTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// NewSpec checks what is to be built, and fills in what the image is called. All that is wrong is said at once.
func NewSpec(r api.AikitBuildRequest) (Spec, []api.ErrorDetail) {
	s := Spec{ModelID: r.ModelId, File: r.GgufFile, Name: r.ImageName, Tag: r.ImageTag}
	var details []api.ErrorDetail
	check := func(field, value string, pattern *regexp.Regexp, longest int, words string) {
		switch {
		case value == "":
			details = append(details, api.ErrorDetail{Field: field, Message: "must be given with modelSource huggingface"})
		case len(value) > longest || !pattern.MatchString(value) || strings.Contains(value, ".."):
			details = append(details, api.ErrorDetail{Field: field, Message: fmt.Sprintf("must be %s, in at most %d characters", words, longest)})
		}
	}
	check("modelId", s.ModelID, modelID, 193, "a repository of Hugging Face, as in TheBloke/Llama-2-7B-GGUF")
	check("ggufFile", s.File, ggufFile, 256, "the name of a file that ends in .gguf, of letters, digits and . _ + -")
	if s.Name == "" {
		s.Name = "aikit-" + slug(s.ModelID)
	}
	if s.Tag == "" {
		s.Tag = Quantization(s.File)
	}
	check("imageName", s.Name, imageName, 63, "lower case letters and digits, with single . or _ or dashes between them")
	check("imageTag", s.Tag, imageTag, 128, "letters, digits and . _ -")
	return s, details
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// slug is text as a part of an image's name, in which aikit- comes before it.
func slug(text string) string {
	text = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(text), "-"), "-")
	text = strings.Trim(text[:min(len(text), 57)], "-")
	if text == "" {
		return "model"
	}
	return text
}

var quantized = regexp.MustCompile(`(?i)[.-]((?:I?Q[0-9]+(?:_[A-Z0-9]+)*)|BF16|F16|F32)\.gguf$`)

// Quantization is the part of a file's name that tells it, as a tag: publishers put a dot or a dash before it.
func Quantization(file string) string {
	if match := quantized.FindStringSubmatch(file); match != nil {
		return strings.ToUpper(match[1])
	}
	return "custom"
}
