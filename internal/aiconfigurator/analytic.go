package aiconfigurator

import (
	"fmt"
	"math"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/models"
)

// Question is what is to be run, and on what.
type Question struct {
	Model string
	Shape models.Shape
	// Engines that run the model, in order of preference; empty where that is not known.
	Engines []api.Engine
	// GPU is the name as it was given, MemoryGb that of one, 0 where it is not known.
	GPU      string
	MemoryGb int
	GPUs     int
	// Latency asks for short answers rather than many.
	Latency      bool
	MaxLatencyMs float64
	// ContextLength is the longest conversation, 0 for what fits.
	ContextLength int
	// Token of Hugging Face, for a gated model. It may be empty.
	Token string
}

const (
	// utilization is the part of a GPU's memory that engines take, by their own defaults.
	utilization = 0.9
	// working is what an engine takes beside weights and KV cache, as a part of the weights.
	working = 0.1
	// typical is a request's length for which the batch is worked out.
	typical = 2048
	// leastContext is the shortest conversation that a fit has to allow.
	leastContext = 4096
	maxBatch     = 256
	maxSplit     = 64
	gib          = 1 << 30
)

// Suggest works out a suggestion.
func Suggest(q Question) api.AiAnalysis {
	a := api.AiAnalysis{
		Mode: api.ModeAggregated, Replicas: 1, Backend: string(api.AiSourceAnalytic), Source: api.AiSourceAnalytic, SupportedBackends: []string{},
		Warnings: []string{"This is an estimate from the model's size and the GPUs' memory. Nothing was simulated or measured, and it predicts no speed."},
	}
	for _, engine := range q.Engines {
		a.SupportedBackends = append(a.SupportedBackends, string(engine))
	}
	weights, _ := q.Shape.Weights()
	switch {
	case weights <= 0:
		return unanswered(a, q, fmt.Sprintf("nothing tells how large %s is", q.Model))
	case q.MemoryGb <= 0:
		return unanswered(a, q, fmt.Sprintf("%.100q is not a GPU whose memory is known", q.GPU))
	}
	least := leastContext
	if q.ContextLength > 0 {
		least = q.ContextLength
	}
	if q.Shape.ContextLength > 0 {
		least = min(least, q.Shape.ContextLength)
	}
	splits := powersOfTwo(q.Shape)
	fitting := -1
	for i, n := range splits {
		if room(q, weights, n) >= least {
			fitting = i
			break
		}
	}
	if fitting < 0 || splits[fitting] > q.GPUs {
		words := fmt.Sprintf("%s needs more than %d of these GPUs with %d GiB", q.Model, maxSplit, q.MemoryGb)
		if fitting >= 0 {
			words = fmt.Sprintf("%s needs %d of these GPUs with %d GiB, and there are %d", q.Model, splits[fitting], q.MemoryGb, q.GPUs)
		}
		return unanswered(a, q, words)
	}
	split := splits[fitting]
	if q.Latency { // more GPUs for each token, within a node
		for _, n := range splits[fitting:] {
			if n <= min(q.GPUs, 8) {
				split = n
			}
		}
	}
	a.Success = true
	a.Replicas = max(q.GPUs/split, 1)
	a.Config = configOf(q, split, room(q, weights, split), least)
	a.Warnings = append(a.Warnings, explained(q, weights, split, a.Replicas)...)
	return a
}

// powersOfTwo are the sizes into which the model can be split: powers of two that its attention heads can be shared out among.
func powersOfTwo(s models.Shape) []int {
	var sizes []int
	for _, n := range s.TensorParallel(1, maxSplit) {
		if n&(n-1) == 0 {
			sizes = append(sizes, n)
		}
	}
	return sizes
}

// room is for how many tokens the KV cache has room when the model is split over so many GPUs; 0 where it does not fit. Where
// nothing tells how large the cache is, it has room for as many as the model takes, if a fifth of the weights is left for it.
func room(q Question, weights int64, split int) int {
	each := float64(q.MemoryGb) * gib * utilization
	left := each - float64(weights)*(1+working)/float64(split)
	if left <= 0 {
		return 0
	}
	perToken := float64(q.Shape.KVPerToken())
	if perToken <= 0 {
		if left*float64(split) < 0.2*float64(weights) {
			return 0
		}
		if q.Shape.ContextLength > 0 {
			return q.Shape.ContextLength
		}
		return models.DefaultContext
	}
	// Heads of the cache are shared out too, and copied where there are fewer than parts; a latent vector is copied always.
	shares := split
	if q.Shape.LatentKV > 0 {
		shares = 1
	} else if q.Shape.KVHeads > 0 {
		shares = min(split, q.Shape.KVHeads)
	}
	return int(math.Min(left/(perToken/float64(shares)), 1<<40))
}

func configOf(q Question, split, tokens, least int) api.AiConfig {
	c := api.AiConfig{TensorParallelDegree: split, GpuMemoryUtilization: utilization, MaxModelLen: tokens}
	if q.Shape.ContextLength > 0 {
		c.MaxModelLen = min(c.MaxModelLen, q.Shape.ContextLength)
	}
	if q.ContextLength > 0 {
		c.MaxModelLen = min(c.MaxModelLen, q.ContextLength)
	}
	if c.MaxModelLen > 1024 { // a round number, and no more than fits
		c.MaxModelLen -= c.MaxModelLen % 1024
	}
	c.MaxModelLen = max(c.MaxModelLen, min(least, tokens))
	batch := 1
	for batch*2 <= min(tokens/min(typical, c.MaxModelLen), maxBatch) {
		batch *= 2
	}
	if q.Latency { // each request beyond these makes the others wait
		batch = min(batch, 32)
	}
	c.MaxBatchSize, c.MaxNumSeqs = batch, batch
	return c
}

func explained(q Question, weights int64, split, replicas int) []string {
	words := []string{fmt.Sprintf("The weights take %.1f GiB; on %s with %d GiB, of which engines take %.0f %%, a replica of %s leaves room for the KV cache.",
		float64(weights)/gib, q.GPU, q.MemoryGb, utilization*100, counted(split, "GPU"))}
	if q.Shape.AttentionHeads == 0 {
		words = append(words, "Nothing tells the model's attention heads: that they can be shared out like this is likely, but not certain.")
	}
	if q.Shape.KVPerToken() == 0 {
		words = append(words, "Nothing tells how large the KV cache is: context and batch are guesses.")
	}
	if unused := q.GPUs - split*replicas; unused > 0 {
		words = append(words, counted(unused, "GPU")+" would be left over.")
	}
	if split > 8 {
		words = append(words, "So many GPUs are rarely in one node; between nodes, splitting needs a fast network.")
	}
	if q.MaxLatencyMs > 0 {
		words = append(words, "Whether the latency asked for is met is not known.")
	}
	return words
}

// unanswered keeps a shape that can be shown, of what engines do by themselves.
func unanswered(a api.AiAnalysis, q Question, why string) api.AiAnalysis {
	split := 1
	for split*2 <= min(q.GPUs, 8) {
		split *= 2
	}
	a.Success, a.Error = false, "No suggestion: "+why+". The values shown are the engines' defaults."
	a.Config = api.AiConfig{TensorParallelDegree: split, MaxBatchSize: maxBatch, GpuMemoryUtilization: utilization, MaxModelLen: leastContext}
	if q.Shape.ContextLength > 0 {
		a.Config.MaxModelLen = min(leastContext, q.Shape.ContextLength)
	}
	return a
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
