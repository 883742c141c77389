package models

import (
	"fmt"
	"math"

	"github.com/kubefoundry/kubefoundry/api"
)

// Shape is what a model's need of memory follows from. Zero is unknown in each field.
type Shape struct {
	Parameters, Active int64
	// WeightBytes is the size of the weights where it need not be worked out, and Basis where it is from.
	WeightBytes int64
	Basis       api.MemoryEstimateBasis
	Format      Format
	// RoughSize is set where Parameters comes from a name such as 8x7B.
	RoughSize bool

	Layers, AttentionHeads, KVHeads, HeadDim int
	// LatentKV is, for models that keep one compressed vector for all heads (DeepSeek), its elements for each token and layer.
	LatentKV int
	// SlidingWindow is set where some layers look back only so far: the estimate is then more than what is needed.
	SlidingWindow bool
	ContextLength int // tokens that the model takes at most
}

const (
	gib = 1 << 30
	// overhead is what engines take beside the weights, as a part of them: activations, CUDA graphs, buffers of the
	// communication between GPUs, fragments.
	overhead = 0.2
	// kvBytes is the size of one element of the KV cache, which is in 16 bits unless somebody asks for less.
	kvBytes = 2
	// DefaultContext is what an estimate allows for where nothing is asked: one conversation of this length.
	DefaultContext = 8192
)

// Weights is the size of the weights in bytes, and what it is taken from; 0 where it is unknown.
func (s Shape) Weights() (bytes int64, basis api.MemoryEstimateBasis) {
	if s.WeightBytes > 0 {
		return s.WeightBytes, s.Basis
	}
	bits := s.format().Bits()
	if s.Parameters <= 0 || bits == 0 {
		return 0, ""
	}
	basis = s.Basis
	if basis == "" {
		basis = api.MemoryEstimateBasisParameters
	}
	return int64(float64(s.Parameters) * bits / 8), basis
}

// format is the stated one, or 16 bits, which is what nearly all unquantised models have.
func (s Shape) format() Format {
	if s.Format == "" {
		return "bf16"
	}
	return s.Format
}

// KVPerToken is the bytes of the KV cache for one token; 0 where unknown.
func (s Shape) KVPerToken() int64 {
	if s.LatentKV > 0 {
		return int64(s.Layers) * int64(s.LatentKV) * kvBytes
	}
	return 2 * int64(s.Layers) * int64(s.KVHeads) * int64(s.HeadDim) * kvBytes
}

// BaseGiB is what a replica needs without a KV cache, in whole GiB, as lists of models show it; 0 where unknown.
func (s Shape) BaseGiB() int {
	weights, _ := s.Weights()
	return int(math.Ceil(float64(weights) * (1 + overhead) / gib))
}

// Memory is what a replica needs for conversations of a length; 0 is DefaultContext, or less where the model takes less.
func (s Shape) Memory(context, sequences int) api.MemoryEstimate {
	e := api.MemoryEstimate{Quantization: string(s.format()), BitsPerWeight: s.format().Bits(), Sequences: max(sequences, 1), Notes: []string{}}
	switch {
	case context > 0:
		e.ContextLength = context
		if s.ContextLength > 0 && context > s.ContextLength {
			e.Notes = append(e.Notes, fmt.Sprintf("the model takes at most %d tokens", s.ContextLength))
		}
	default:
		e.ContextLength = DefaultContext
		if s.ContextLength > 0 {
			e.ContextLength = min(DefaultContext, s.ContextLength)
		}
	}
	if s.Format == "" {
		e.Notes = append(e.Notes, "nothing says how the weights are stored; 16 bits are taken")
	}
	weights, basis := s.Weights()
	if weights == 0 {
		e.Notes = append(e.Notes, "nothing tells how many parameters the model has")
		return e
	}
	e.Known, e.Basis = true, basis
	if s.RoughSize && basis == api.MemoryEstimateBasisName {
		e.Notes = append(e.Notes, "the size of a mixture of experts cannot be told exactly from its name")
	}
	e.WeightsGb = rounded(float64(weights) / gib)
	e.OverheadGb = rounded(float64(weights) * overhead / gib)
	total := float64(weights) * (1 + overhead)
	if kv := s.KVPerToken(); kv > 0 {
		cache := float64(kv) * float64(e.ContextLength) * float64(e.Sequences)
		e.KvCacheGb = max(rounded(cache/gib), 0.01)
		total += cache
		if s.SlidingWindow {
			e.Notes = append(e.Notes, "some layers of the model look back over a window only, so the KV cache may be smaller")
		}
	} else {
		e.Notes = append(e.Notes, "the KV cache is not in it, for nothing tells the model's layers and heads")
	}
	if s.Active > 0 && s.Active < s.Parameters {
		e.Notes = append(e.Notes, "all experts lie in memory, though each token uses only some")
	}
	e.TotalGb = rounded(total / gib)
	return e
}

func rounded(f float64) float64 { return math.Round(f*100) / 100 }
