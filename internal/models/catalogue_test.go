package models

import (
	"math"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

var (
	idPattern      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
	premadePattern = regexp.MustCompile(`^[a-z0-9.-]+:[0-9]+(x[0-9]+)?b$`)
	spdx           = regexp.MustCompile(`^(Apache-2\.0|MIT|BSD-3-Clause|CC-BY-4\.0|CC-BY-NC-4\.0|LicenseRef-[A-Za-z0-9.-]+)$`)
	sizePattern    = regexp.MustCompile(`^([0-9]+x)?[0-9]+(\.[0-9]+)?B$`)
)

// TestCatalogue is the schema of catalogue.yaml: unknown fields are refused when it is read.
func TestCatalogue(t *testing.T) {
	ids, premades, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, e := range Catalogue() {
		t.Run(e.ID, func(t *testing.T) {
			require.Regexp(t, idPattern, e.ID)
			require.False(t, ids[e.ID], "twice")
			require.False(t, names[e.Name], "two of this name")
			ids[e.ID], names[e.Name] = true, true
			require.NotEmpty(t, e.Name)
			require.Greater(t, len(e.Description), 20)
			require.Regexp(t, spdx, e.License)
			require.Regexp(t, sizePattern, e.Size)
			require.Contains(t, []string{"chat", "text-generation"}, e.Task)
			require.NotEmpty(t, e.Engines)
			for _, engine := range e.Engines {
				require.True(t, engine.Valid(), engine)
			}
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(e.Engines))), len(e.Engines), "an engine twice")
			require.InEpsilon(t, SizeFromName("x-"+e.Size).Total, e.Parameters, 0.35, "size and parameters")
			if e.OnCPU() {
				require.Regexp(t, premadePattern, e.Premade)
				require.False(t, premades[e.Premade], "twice")
				premades[e.Premade] = true
				require.Same(t, Find(e.ID), Premade(e.Premade))
				require.Zero(t, e.MinGPUMemory)
				require.Zero(t, *e.Model().MinGpus)
				require.False(t, e.Shape().Memory(0, 1).Known, "it is GPU memory that is estimated")
				return
			}
			require.Empty(t, e.Premade)
			require.NotEmpty(t, e.Architecture)
			require.Subset(t, Engines([]string{e.Architecture}, false), e.Engines)
			require.Positive(t, e.ContextLength)
			require.Positive(t, e.Format.Bits())
			for _, n := range []int{e.Layers, e.AttentionHeads, e.KVHeads, e.HeadDim} {
				require.Positive(t, n)
			}
			require.Zero(t, e.AttentionHeads%e.KVHeads, "heads share those of the KV cache evenly")
			memory := e.Shape().Memory(0, 1)
			require.Equal(t, int(math.Ceil(memory.TotalGb)), e.MinGPUMemory, "minGpuMemoryGb is not what follows from the weights")
			if guess := GuessArchitecture(e.ID); guess != "" {
				require.Equal(t, e.Architecture, guess)
			}
			named := SizeFromName(e.ID)
			if named.Total > 0 {
				require.InEpsilon(t, named.Total, e.Parameters, 0.3, "the name says another size")
			}
			if named.Active > 0 {
				require.InEpsilon(t, named.Active, e.ActiveParameters, 0.2)
			}
		})
	}
	assert.Nil(t, Find("none/such"))
	assert.Nil(t, Premade(""))
	assert.Equal(t, "kaito/gpt-oss-20b", Premade("gpt-oss:20b").ID)
	// Those that other parts of the product and existing users count on.
	for _, id := range []string{
		"Qwen/Qwen3-0.6B", "Qwen/Qwen2.5-1.5B-Instruct", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "meta-llama/Llama-3.2-1B-Instruct",
		"meta-llama/Llama-3.2-3B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3", "microsoft/Phi-3-mini-4k-instruct", "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
		"kaito/llama3.2-1b", "kaito/llama3.2-3b", "kaito/llama3.1-8b", "kaito/llama3.3-70b", "kaito/mixtral-8x7b", "kaito/phi4-14b", "kaito/gemma2-2b",
		"kaito/qwq-32b", "kaito/codestral-22b", "kaito/gpt-oss-20b",
	} {
		require.NotNil(t, Find(id), id)
	}
}

func TestArchitectures(t *testing.T) {
	known := knownArchitectures()
	for name, engines := range known.Engines {
		require.NotEmpty(t, engines, name)
		for _, engine := range engines {
			require.True(t, engine.Valid(), name)
		}
	}
	for _, rule := range known.Names {
		require.Contains(t, known.Engines, rule.Architecture, rule.Pattern)
	}
	for id, want := range map[string]string{
		"google/gemma-3-27b-it": "Gemma3ForConditionalGeneration", "google/gemma-2-9b": "Gemma2ForCausalLM", "google/gemma-7b": "GemmaForCausalLM",
		"deepseek-ai/DeepSeek-R1": "DeepseekV3ForCausalLM", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": "Qwen2ForCausalLM",
		"meta-llama/Llama-4-Scout-17B-16E": "Llama4ForConditionalGeneration", "Qwen/Qwen3-30B-A3B": "Qwen3MoeForCausalLM",
		"mistralai/Mistral-Small-3.2-24B-Instruct-2506": "Mistral3ForConditionalGeneration", "openai/gpt-oss-20b": "GptOssForCausalLM",
		"llama/unknown-thing": "", "stabilityai/sdxl-turbo": "",
	} {
		assert.Equal(t, want, GuessArchitecture(id), id)
	}
	assert.Equal(t, []string{"llamacpp"}, texts(Engines([]string{"LlamaForCausalLM"}, true)))
	assert.NotContains(t, Engines([]string{"LlamaForCausalLM"}, false), "llamacpp")
	assert.Empty(t, Engines([]string{"NoSuchArchitecture"}, false))
}

func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = string(one)
	}
	return out
}

// TestProductsAreThoseOfTheCluster: a product of ours has the memory that a node with that label shows.
func TestProductsAreThoseOfTheCluster(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Products() {
		require.False(t, seen[p.Product])
		seen[p.Product] = true
		node := capacity.Node(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"nvidia.com/gpu.product": p.Product}}}, 0)
		assert.Equal(t, node.GpuMemoryGb, p.MemoryGb, p.Product)
	}
}
