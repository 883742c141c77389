package huggingface

import (
	"encoding/json"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/models"
)

// remote is a model as Hugging Face tells it.
type remote struct {
	ID          string   `json:"id"`
	Author      string   `json:"author"`
	Downloads   int64    `json:"downloads"`
	Likes       int64    `json:"likes"`
	PipelineTag string   `json:"pipeline_tag"`
	LibraryName string   `json:"library_name"`
	Tags        []string `json:"tags"`
	Gated       gated    `json:"gated"`
	Config      struct {
		Architectures []string                   `json:"architectures"`
		Quantization  *models.QuantizationConfig `json:"quantization_config"`
	} `json:"config"`
	Safetensors struct {
		Parameters map[string]int64 `json:"parameters"`
		Total      int64            `json:"total"`
	} `json:"safetensors"`
	GGUF struct {
		Total         int64 `json:"total"`
		ContextLength int   `json:"context_length"`
	} `json:"gguf"`
	Siblings []sibling `json:"siblings"`
	CardData struct {
		License     any    `json:"license"`
		LicenseName string `json:"license_name"`
	} `json:"cardData"`
}

type sibling struct {
	Name string `json:"rfilename"`
	Size int64  `json:"size"`
}

// gated is false, or how access is given: "auto" or "manual".
type gated bool

// UnmarshalJSON reads both.
func (g *gated) UnmarshalJSON(b []byte) error {
	*g = gated(string(b) != "false" && string(b) != "null" && string(b) != `""`)
	return nil
}

// assessed is what is made of a model: small, for many are kept.
type assessed struct {
	api.HfModel
	shape models.Shape
}

// pipelines are the tasks whose models generate text.
var pipelines = map[string]bool{
	"": true, "text-generation": true, "text2text-generation": true, "conversational": true, "image-text-to-text": true, "any-to-any": true,
}

// libraries are those whose repositories hold weights as engines load them.
var libraries = map[string]bool{
	"": true, "transformers": true, "vllm": true, "safetensors": true, "gguf": true, "llama.cpp": true, "llama-cpp-python": true,
	"mistral-common": true, "unsloth": true, "model optimizer": true, "modelopt": true, "quark": true,
}

// assess tells what a model is, whether an engine runs it, and if not, why.
func assess(r *remote) assessed {
	owner, name, found := strings.Cut(r.ID, "/")
	if !found {
		owner, name = "", r.ID
	}
	if r.Author != "" {
		owner = r.Author
	}
	a := assessed{HfModel: api.HfModel{
		Id: r.ID, Author: owner, Name: name, Downloads: r.Downloads, Likes: r.Likes, PipelineTag: r.PipelineTag, LibraryName: r.LibraryName,
		Architectures: r.Config.Architectures, Gated: bool(r.Gated),
	}}
	if len(a.Architectures) > 8 {
		a.Architectures = a.Architectures[:8]
	}
	gguf := isGGUF(r)
	if len(a.Architectures) == 0 {
		a.Architectures = []string{}
		if guess := models.GuessArchitecture(r.ID); guess != "" {
			a.Architectures, a.ArchitecturesGuessed = []string{guess}, true
		}
	}
	a.SupportedEngines = models.Engines(a.Architectures, gguf)
	a.IncompatibilityReason = incompatible(r, &a, gguf)
	a.Compatible = a.IncompatibilityReason == ""
	if !a.Compatible {
		a.SupportedEngines = []api.Engine{}
	}
	a.shape = shapeOf(r, gguf)
	a.ParameterCount, a.ActiveParameters = a.shape.Parameters, a.shape.Active
	a.Quantization = string(a.shape.Format)
	if gib := a.shape.BaseGiB(); gib > 0 && !gguf { // a repository of GGUF files has many sizes
		a.EstimatedGpuMemoryGb, a.EstimatedGpuMemory = gib, itoa(gib)+"GB"
	}
	return a
}

func isGGUF(r *remote) bool {
	if strings.EqualFold(r.LibraryName, "gguf") || r.GGUF.Total > 0 {
		return true
	}
	for _, tag := range r.Tags {
		if strings.EqualFold(tag, "gguf") && r.Safetensors.Total == 0 {
			return true
		}
	}
	return strings.Contains(strings.ToLower(r.ID), "gguf")
}

// incompatible is why no engine runs a model; empty where one does.
func incompatible(r *remote, a *assessed, gguf bool) string {
	library := strings.ToLower(r.LibraryName)
	switch {
	case !pipelines[r.PipelineTag]:
		return "it is made for " + r.PipelineTag + ", not to generate text"
	case !libraries[library]:
		return "it is stored for the library " + r.LibraryName + ", which no engine loads"
	case gguf:
		return ""
	case len(a.Architectures) == 0:
		return "neither its configuration nor its name tells its architecture"
	case len(a.SupportedEngines) == 0:
		return "no engine runs the architecture " + strings.Join(a.Architectures, ", ")
	case r.PipelineTag == "" && a.ArchitecturesGuessed && r.Safetensors.Total == 0:
		return "nothing tells that it generates text: it has no task, no configuration and no weights that are known"
	}
	return ""
}

// shapeOf is what is known of a model's size.
func shapeOf(r *remote, gguf bool) models.Shape {
	named := models.SizeFromName(r.ID)
	s := models.Shape{Active: named.Active, Format: r.Config.Quantization.Format()}
	if s.Format == "" {
		s.Format = models.FormatFromName(r.ID)
	}
	if gguf {
		s.Format, s.Parameters, s.ContextLength = "", r.GGUF.Total, r.GGUF.ContextLength
		if s.Parameters == 0 {
			s.Parameters, s.RoughSize = named.Total, named.Rough
		}
		return s
	}
	elements := r.Safetensors.Total
	if elements == 0 {
		for _, n := range r.Safetensors.Parameters {
			elements += n
		}
	}
	switch {
	case elements == 0:
		s.Parameters, s.RoughSize, s.Basis = named.Total, named.Rough, api.MemoryEstimateBasisName
	case s.Format.Packed():
		s.Parameters = unpacked(r.Safetensors.Parameters, elements, s.Format, named.Total)
		s.Basis = api.MemoryEstimateBasisParameters
	default:
		s.Parameters, s.Basis = elements, api.MemoryEstimateBasisParameters
		if s.Format == "" {
			s.Format = models.FormatOfTensors(r.Safetensors.Parameters)
		}
		if bytes, ok := models.BytesOfTensors(r.Safetensors.Parameters); ok {
			s.WeightBytes, s.Basis = bytes, api.MemoryEstimateBasisTensors
		}
	}
	return s
}

// unpacked is the parameters of a model whose weights share elements. Hugging Face counts elements for some of them and
// parameters for others, and does not say which: the name decides where it tells a size, else the larger.
func unpacked(elements map[string]int64, total int64, format models.Format, named int64) int64 {
	more := total
	for dtype, n := range elements {
		if width := map[string]float64{"I32": 32, "U32": 32, "U8": 8, "I8": 8}[dtype]; width > 0 {
			more += int64(float64(n) * (width/packedBits(format) - 1))
		}
	}
	if named > 0 {
		if abs(total-named) < abs(more-named) {
			return total
		}
		return more
	}
	return more
}

// packedBits is the width of a packed weight itself.
func packedBits(f models.Format) float64 {
	switch f {
	case "gptq-2bit":
		return 2
	case "gptq-3bit":
		return 3
	case "gptq-8bit":
		return 8
	}
	return 4
}

func abs(n int64) int64 { return max(n, -n) }

// configFile is config.json, as far as memory and parallelism follow from it. Models that also take images keep it in
// text_config.
type configFile struct {
	textConfig
	Text         *textConfig                `json:"text_config"`
	Quantization *models.QuantizationConfig `json:"quantization_config"`
}

type textConfig struct {
	Layers         int             `json:"num_hidden_layers"`
	AttentionHeads int             `json:"num_attention_heads"`
	KVHeads        int             `json:"num_key_value_heads"`
	HeadDim        int             `json:"head_dim"`
	HiddenSize     int             `json:"hidden_size"`
	ContextLength  int             `json:"max_position_embeddings"`
	Dtype          string          `json:"torch_dtype"`
	NewDtype       string          `json:"dtype"`
	KVLoraRank     int             `json:"kv_lora_rank"`
	RopeHeadDim    int             `json:"qk_rope_head_dim"`
	SlidingWindow  json.RawMessage `json:"sliding_window"`
	// GPT-2 and its like.
	OldLayers  int `json:"n_layer"`
	OldHeads   int `json:"n_head"`
	OldHidden  int `json:"n_embd"`
	OldContext int `json:"n_positions"`
}

// into completes a shape.
func (c *configFile) into(s *models.Shape) {
	t := c.textConfig
	if c.Text != nil {
		t = *c.Text
	}
	sane := func(n, most int) int {
		if n < 0 || n > most {
			return 0
		}
		return n
	}
	first := func(all ...int) int {
		for _, n := range all {
			if n > 0 {
				return n
			}
		}
		return 0
	}
	s.Layers = sane(first(t.Layers, t.OldLayers), 1000)
	s.AttentionHeads = sane(first(t.AttentionHeads, t.OldHeads), 10_000)
	s.KVHeads = sane(first(t.KVHeads, s.AttentionHeads), 10_000)
	s.HeadDim = sane(t.HeadDim, 100_000)
	if hidden := sane(first(t.HiddenSize, t.OldHidden), 1<<24); s.HeadDim == 0 && s.AttentionHeads > 0 {
		s.HeadDim = hidden / s.AttentionHeads
	}
	if t.KVLoraRank > 0 {
		s.LatentKV = sane(t.KVLoraRank+t.RopeHeadDim, 1<<20)
	}
	if window := string(t.SlidingWindow); window != "" && window != "null" && window != "false" && window != "0" {
		s.SlidingWindow = true
	}
	s.ContextLength = sane(first(t.ContextLength, t.OldContext), 1<<30)
	if s.Format == "" {
		s.Format = c.Quantization.Format()
	}
	if dtype := t.Dtype; s.Format == "" {
		if dtype == "" {
			dtype = t.NewDtype
		}
		if dtype == "" {
			dtype = c.Dtype
		}
		s.Format = models.FormatOfDtype(dtype)
	}
}
