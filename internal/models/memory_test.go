package models

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestSizeFromName(t *testing.T) {
	for name, want := range map[string]NamedSize{
		"Qwen/Qwen3-0.6B":                           {Total: 600e6},
		"org/foo-4bit":                              {},
		"org/model-1M-ctx":                          {},
		"org/Qwen2.5-7B-Instruct-1M":                {Total: 7e9},
		"org/llama-128k":                            {},
		"mistralai/Mixtral-8x7B-v0.1":               {Total: 45.92e9, Rough: true},
		"Qwen/Qwen3-30B-A3B":                        {Total: 30e9, Active: 3e9},
		"Qwen/Qwen1.5-MoE-A2.7B":                    {Active: 2.7e9},
		"meta-llama/Llama-4-Scout-17B-16E-Instruct": {Active: 17e9},
		"bigscience/bloom-7b1":                      {Total: 7.1e9},
		"facebook/opt-125m":                         {Total: 125e6},
		"01-ai/Yi-34B":                              {Total: 34e9},
		"7B/model":                                  {},
		"TheBloke/Llama-2-7B-GPTQ":                  {Total: 7e9},
		"unsloth/Llama-3.2-3B-Instruct-bnb-4bit":    {Total: 3e9},
		"org/Phi-3-mini-4k-instruct":                {},
		"google/gemma-3n-E2B-it":                    {},
		"org/model.13B.Q4":                          {Total: 13e9},
		"microsoft/bitnet-1.58bit":                  {},
		"org/moonshot-1T":                           {Total: 1e12},
		"HuggingFaceTB/SmolLM2-360M-Instruct":       {Total: 360e6},
		"org/gte-100M-tokens":                       {},
	} {
		got := SizeFromName(name)
		assert.InDelta(t, want.Total, got.Total, 1e6, name)
		assert.Equal(t, want.Active, got.Active, name)
		assert.Equal(t, want.Rough, got.Rough, name)
	}
}

func FuzzSizeFromName(f *testing.F) {
	for _, seed := range []string{"a/b-7B", "a/8x7b", "-_./", "a/1e9b", "9999.999T"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if s := SizeFromName(id); s.Total < 0 || s.Active < 0 {
			t.Fatalf("%q: %+v", id, s)
		}
		_, _ = FormatFromName(id).Bits(), FormatOfGGUF(id).Bits()
		_, part, of := PartOfGGUF(id)
		if part < 0 || of < 1 {
			t.Fatalf("%q: %d of %d", id, part, of)
		}
		GuessArchitecture(id)
	})
}

func TestFormats(t *testing.T) {
	for id, want := range map[string]Format{
		"TheBloke/Llama-2-7B-AWQ": "awq-4bit", "TheBloke/Llama-2-7B-GPTQ": "gptq-4bit", "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8": "gptq-8bit",
		"RedHatAI/Llama-3.1-8B-FP8": "fp8", "x/Llama-w4a16": "int4", "unsloth/Llama-bnb-4bit": "bnb-4bit", "org/foo-4bit": "int4",
		"nvidia/DeepSeek-R1-FP4": "nvfp4", "Qwen/Qwen3-8B": "", "org/awqward": "",
	} {
		assert.Equal(t, want, FormatFromName(id), id)
	}
	for file, want := range map[string]Format{
		"llama-2-7b.Q4_K_M.gguf": "Q4_K_M", "Qwen3-8B-Q5_K_S.gguf": "Q5_K_S", "m-BF16.gguf": "BF16", "m.fp16.gguf": "F16",
		"Q8_0/m-IQ2_XXS-00001-of-00003.gguf": "IQ2_XXS", "model.gguf": "", "m-UD-Q4_K_XL.gguf": "Q4_K_XL", "gpt-oss-20b-mxfp4.gguf": "MXFP4",
	} {
		assert.Equal(t, want, FormatOfGGUF(file), file)
	}
	stem, part, of := PartOfGGUF("dir/m-Q8_0-00002-of-00003.gguf")
	assert.Equal(t, "dir/m-Q8_0", stem)
	assert.Equal(t, []int{2, 3}, []int{part, of})
	for _, f := range []string{"bf16", "awq-4bit", "gptq-3bit", "Q4_K_M", "IQ1_S"} {
		assert.Positive(t, Format(f).Bits(), f)
	}
	assert.Equal(t, Format("gptq-8bit"), (&QuantizationConfig{Method: "gptq", Bits: 8}).Format())
	assert.Equal(t, Format("bnb-4bit"), (&QuantizationConfig{Method: "bitsandbytes", LoadIn4Bit: true}).Format())
	assert.Equal(t, Format("nvfp4"), (&QuantizationConfig{Method: "modelopt", Algorithm: "NVFP4"}).Format())
	assert.Empty(t, (&QuantizationConfig{Method: "something-new"}).Format())
	assert.Empty(t, (*QuantizationConfig)(nil).Format())
	bytes, ok := BytesOfTensors(map[string]int64{"I32": 10, "F16": 4})
	assert.True(t, ok)
	assert.EqualValues(t, 48, bytes)
	_, ok = BytesOfTensors(map[string]int64{"F4": 10})
	assert.False(t, ok, "a type that is not known is not counted as nothing")
}

// TestTheNumbersThatListsShow: 16 bits and a fifth more.
func TestTheNumbersThatListsShow(t *testing.T) {
	for billions, want := range map[float64]int{0.6: 2, 1.5: 4, 3: 7, 7: 16, 8: 18, 13: 30, 32: 72, 70: 157, 405: 906} {
		assert.Equal(t, want, Shape{Parameters: int64(billions * 1e9)}.BaseGiB(), billions)
	}
	awq := Shape{Parameters: 70e9, Format: "awq-4bit"}.BaseGiB()
	assert.InDelta(t, 49, awq, 1)
	assert.Zero(t, Shape{}.BaseGiB())
}

func TestMemoryOfLlama(t *testing.T) {
	s := Find("meta-llama/Llama-3.1-8B-Instruct").Shape()
	short, long := s.Memory(0, 1), s.Memory(131072, 1)
	assert.InDelta(t, 14.96, short.WeightsGb, 0.01)
	assert.InDelta(t, 1, short.KvCacheGb, 0.01, "8192 tokens of 128 KiB")
	assert.InDelta(t, 16, long.KvCacheGb, 0.01)
	assert.InDelta(t, short.TotalGb+15, long.TotalGb, 0.02)
	assert.NotEmpty(t, s.Memory(1<<20, 1).Notes, "more than it takes")
	assert.False(t, Shape{}.Memory(0, 0).Known)
	mla := Shape{Parameters: 1e9, Layers: 61, LatentKV: 576}
	assert.EqualValues(t, 61*576*2, mla.KVPerToken())
}

func TestFit(t *testing.T) {
	llama70 := Find("meta-llama/Llama-3.3-70B-Instruct").Shape()
	nodes := []api.Node{
		{Name: "a", Pool: "h100", GpuCount: 8, AvailableGpus: 4, GpuProduct: "NVIDIA-H100-80GB", GpuMemoryGb: 80},
		{Name: "b", Pool: "l4", GpuCount: 4, AvailableGpus: 4, GpuProduct: "NVIDIA-L4", GpuMemoryGb: 24},
		{Name: "c", Pool: "l4-b", GpuCount: 1, AvailableGpus: 0, GpuProduct: "NVIDIA-L4", GpuMemoryGb: 24},
		{Name: "d", Pool: "odd", GpuCount: 2, AvailableGpus: 2, GpuProduct: "Other"},
		{Name: "e", Pool: "cpu"},
	}
	groups := Groups(nodes)
	require.Len(t, groups, 3)
	memory := llama70.Memory(0, 1)
	h100 := llama70.In(groups[0], memory)
	assert.Equal(t, api.FitVerdictFitsNow, h100.Verdict, h100.Reason)
	assert.Equal(t, 4, *h100.Gpus, "160 GiB are a little more than two have; three do not divide 64 heads")
	assert.Equal(t, []int{4, 8, 16, 32, 64}, h100.TensorParallel)
	l4 := llama70.In(groups[1], memory)
	assert.Equal(t, api.FitVerdictDoesNotFit, l4.Verdict)
	assert.Equal(t, []string{"l4", "l4-b"}, l4.Pools)
	assert.Equal(t, []int{5, 4}, []int{l4.TotalGpus, l4.MaxNodeAvailable})
	assert.Contains(t, l4.Reason, "8 GPUs of 24 GiB")
	assert.Equal(t, api.FitVerdictUnknown, llama70.In(groups[2], memory).Verdict)
	groups[0].MaxNodeAvailable = 3
	assert.Equal(t, api.FitVerdictFitsWhenScaled, llama70.In(groups[0], memory).Verdict)
	assert.Equal(t, api.FitVerdictUnknown, Shape{}.In(groups[0], Shape{}.Memory(0, 1)).Verdict)
	qwen7 := Find("Qwen/Qwen2.5-7B-Instruct").Shape() // 28 heads, 4 of the KV cache
	assert.Equal(t, []int{1, 2, 4, 28}, qwen7.TensorParallel(1, 28))
	assert.Equal(t, []int{4, 8}, Shape{}.TensorParallel(3, 8))
}

// TestEstimatesAreMonotonic: more of anything never needs less, what is said to fit does fit, and the least is taken.
func TestEstimatesAreMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kv := rapid.SampledFrom([]int{1, 2, 4, 8, 16}).Draw(t, "kv")
		s := Shape{
			Parameters: rapid.Int64Range(1e8, 1e12).Draw(t, "parameters"), Format: rapid.SampledFrom([]Format{"", "bf16", "fp8", "awq-4bit", "Q4_K_M"}).Draw(t, "format"),
			Layers: rapid.IntRange(0, 120).Draw(t, "layers"), KVHeads: kv, AttentionHeads: kv * rapid.IntRange(1, 16).Draw(t, "groups"), HeadDim: 128,
		}
		context := rapid.IntRange(1, 200_000).Draw(t, "context")
		memory, more := s.Memory(context, 1), s.Memory(context*2, 2)
		if more.TotalGb < memory.TotalGb || memory.TotalGb < memory.WeightsGb || !memory.Known {
			t.Fatalf("%+v %+v", memory, more)
		}
		p := Product{"P", rapid.IntRange(1, 300).Draw(t, "memory")}
		small, large := s.On(p, memory), s.On(p, more)
		if large.Gpus != nil && (small.Gpus == nil || *small.Gpus > *large.Gpus) {
			t.Fatalf("%+v %+v", small, large)
		}
		if small.Gpus == nil {
			return
		}
		n := *small.Gpus
		if float64(n*p.MemoryGb) < memory.TotalGb || s.AttentionHeads%n != 0 {
			t.Fatalf("%d of %d for %+v", n, p.MemoryGb, memory)
		}
		for _, fewer := range s.TensorParallel(1, n-1) {
			if float64(fewer*p.MemoryGb) >= math.Ceil(memory.TotalGb) {
				t.Fatalf("%d would do, not %d", fewer, n)
			}
		}
	})
}
