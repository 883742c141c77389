package huggingface

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/models"
)

// Model is one model with what its size and fit are worked out from.
type Model struct {
	Info  api.ModelInfo // without Memory
	Shape models.Shape
	Files []api.GgufFile
	// Names are those of all GGUF files, parts one by one.
	Names []string
}

// Model asks for a model.
func (c *Client) Model(ctx context.Context, id, token string) (*Model, error) {
	if err := errors.Join(CheckID(id), CheckToken(token)); err != nil {
		return nil, err
	}
	return cached(ctx, c, "model "+hash(token)+" "+id, func(ctx context.Context) (*Model, error) { return c.model(ctx, id, token) })
}

func (c *Client) model(ctx context.Context, id, token string) (*Model, error) {
	a, err := c.ask(ctx, question{
		method: http.MethodGet, path: "/api/models/" + id, query: url.Values{"blobs": {"true"}}, token: token, limit: modelLimit, about: id,
	})
	if err != nil {
		return nil, err
	}
	var r remote
	if err := decode(a, &r); err != nil {
		return nil, err
	}
	if r.ID == "" {
		r.ID = id
	}
	one := assess(&r)
	m := &Model{Shape: one.shape, Names: []string{}}
	m.Files = ggufFiles(r.Siblings)
	for _, f := range r.Siblings { // in order by now
		if strings.HasSuffix(f.Name, ".gguf") {
			m.Names = append(m.Names, f.Name)
		}
	}
	gguf := isGGUF(&r)
	if bytes := weightFiles(r.Siblings); bytes > 0 && !gguf {
		m.Shape.WeightBytes, m.Shape.Basis = bytes, api.MemoryEstimateBasisFiles
	}
	if !gguf && slices.ContainsFunc(r.Siblings, func(s sibling) bool { return s.Name == "config.json" }) {
		if config, ok := c.config(ctx, id, token); ok {
			config.into(&m.Shape)
		}
	}
	m.Info = api.ModelInfo{
		Source: api.ModelInfoSourceHuggingface, Id: one.Id, Author: one.Author, Name: one.Name, Url: c.base.String() + "/" + one.Id,
		Description: description(&one), Size: size(m.Shape.Parameters), Task: r.PipelineTag, PipelineTag: r.PipelineTag, LibraryName: r.LibraryName,
		Downloads: r.Downloads, Likes: r.Likes, Gated: one.Gated, SupportedEngines: one.SupportedEngines, Compatible: one.Compatible,
		IncompatibilityReason: one.IncompatibilityReason, Architectures: one.Architectures, ArchitecturesGuessed: one.ArchitecturesGuessed,
		ParameterCount: m.Shape.Parameters, ActiveParameters: m.Shape.Active, ContextLength: m.Shape.ContextLength, License: license(&r),
		GgufFiles: m.Files,
	}
	if !gguf {
		m.Info.EstimatedGpuMemoryGb = m.Shape.BaseGiB()
	}
	return m, nil
}

// config is a model's config.json. A gated model keeps it from those without access: then less is known.
func (c *Client) config(ctx context.Context, id, token string) (*configFile, bool) {
	a, err := c.ask(ctx, question{method: http.MethodGet, path: "/" + id + "/resolve/main/config.json", token: token, limit: smallLimit, about: id})
	if err != nil {
		return nil, false
	}
	var config configFile
	return &config, decode(a, &config) == nil
}

// weightFiles adds up the weights that an engine loads: safetensors, else PyTorch's own files. Copies in folders, as of the
// maker's original format, are not loaded.
func weightFiles(files []sibling) int64 {
	sum := func(match func(name string) bool) (total int64) {
		for _, f := range files {
			if match(f.Name) {
				if f.Size <= 0 {
					return 0
				}
				total += f.Size
			}
		}
		return total
	}
	if total := sum(func(name string) bool {
		return strings.HasPrefix(name, "model") && strings.HasSuffix(name, ".safetensors") && !strings.Contains(name, "/")
	}); total > 0 {
		return total
	}
	if total := sum(func(name string) bool {
		return strings.HasSuffix(name, ".safetensors") && !strings.Contains(name, "/") && !strings.HasPrefix(name, "adapter") && !strings.HasPrefix(name, "consolidated")
	}); total > 0 {
		return total
	}
	return sum(func(name string) bool {
		return strings.HasPrefix(name, "pytorch_model") && strings.HasSuffix(name, ".bin")
	})
}

// ggufFiles are the models among the files, those in parts once, by name.
func ggufFiles(files []sibling) []api.GgufFile {
	out := []api.GgufFile{}
	at := map[string]int{}
	slices.SortFunc(files, func(a, b sibling) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range files {
		if !strings.HasSuffix(f.Name, ".gguf") {
			continue
		}
		stem, _, of := models.PartOfGGUF(f.Name)
		if i, seen := at[stem]; seen && of > 1 {
			out[i].SizeBytes += f.Size
			continue
		}
		at[stem] = len(out)
		file := api.GgufFile{Name: f.Name, Quantization: string(models.FormatOfGGUF(f.Name)), SizeBytes: max(f.Size, 0)}
		if of > 1 {
			file.Parts = of
		}
		out = append(out, file)
	}
	return out
}

// ShapeOf is the model's shape with one of its GGUF files: that of the name, or where none is given the one that most people
// take. It is false where there is no such file.
func (m *Model) ShapeOf(file string) (models.Shape, bool) {
	pick := func(match func(f api.GgufFile) bool) (models.Shape, bool) {
		for _, f := range m.Files {
			if match(f) {
				s := m.Shape
				s.Format, s.WeightBytes, s.Basis = models.Format(f.Quantization), f.SizeBytes, api.MemoryEstimateBasisFiles
				return s, true
			}
		}
		return m.Shape, false
	}
	if file != "" {
		return pick(func(f api.GgufFile) bool { return f.Name == file })
	}
	if len(m.Files) == 0 || m.Shape.WeightBytes > 0 {
		return m.Shape, true
	}
	for _, usual := range []string{"Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q8_0"} {
		if s, ok := pick(func(f api.GgufFile) bool { return f.Quantization == usual }); ok {
			return s, true
		}
	}
	return pick(func(f api.GgufFile) bool { return !strings.HasPrefix(path.Base(f.Name), "mmproj") })
}

func description(a *assessed) string {
	if a.Compatible {
		return "A model of " + cmpOr(a.Author, "Hugging Face") + " on Hugging Face."
	}
	return "A model on Hugging Face that no engine runs: " + a.IncompatibilityReason + "."
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// size is a number of parameters for people, as in 8B; empty where unknown.
func size(parameters int64) string {
	switch p := float64(parameters); {
	case parameters <= 0:
		return ""
	case p < 1e9:
		return strconv.FormatFloat(p/1e6, 'f', 0, 64) + "M"
	case p < 1e10:
		return strings.TrimSuffix(strconv.FormatFloat(p/1e9, 'f', 1, 64), ".0") + "B"
	default:
		return strconv.FormatFloat(p/1e9, 'f', 0, 64) + "B"
	}
}

// licenses are Hugging Face's words for licences that have an SPDX identifier.
var licenses = map[string]string{
	"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "cc-by-4.0": "CC-BY-4.0", "cc-by-nc-4.0": "CC-BY-NC-4.0",
	"gpl-3.0": "GPL-3.0", "agpl-3.0": "AGPL-3.0",
}

func license(r *remote) string {
	text, _ := r.CardData.License.(string)
	if text == "" {
		for _, tag := range r.Tags {
			if of, ok := strings.CutPrefix(tag, "license:"); ok {
				text = of
			}
		}
	}
	if text == "other" && r.CardData.LicenseName != "" {
		text = r.CardData.LicenseName
	}
	switch spdx := licenses[strings.ToLower(text)]; {
	case spdx != "":
		return spdx
	case text == "" || len(text) > 64:
		return ""
	default:
		return "LicenseRef-" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
				return r
			}
			return '-'
		}, text)
	}
}
