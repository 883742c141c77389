package aiconfigurator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/aiconfigurator"
	"github.com/kubefoundry/kubefoundry/internal/models"
)

var llama = models.Shape{Parameters: 70e9, Format: "bf16", Layers: 80, AttentionHeads: 64, KVHeads: 8, HeadDim: 128, ContextLength: 131072}

// command writes a script that stands for the command; it notes its arguments, one a line, and its environment.
func command(t *testing.T, body string) (path, notes string) {
	t.Helper()
	dir := t.TempDir()
	path, notes = filepath.Join(dir, "aiconfigurator"), filepath.Join(dir, "notes")
	script := "#!/bin/sh\nif [ \"$1\" = version ]; then echo 'aiconfigurator 0.4.1'; exit 0; fi\n" +
		"printf '%s\\n' \"$@\" > '" + notes + "'; env > '" + notes + ".env'; pwd > '" + notes + ".dir'\n" +
		"while [ $# -gt 0 ]; do [ \"$1\" = --save_dir ] && dir=\"$2\"; shift; done\n" + body
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700)) //nolint:gosec // it is run
	return path, notes
}

const bothResults = `mkdir -p "$dir/x/agg" "$dir/x/disagg"
printf 'tokens/s/gpu_cluster,tokens/s/gpu,ttft,tpot,tp,pp,bs,concurrency,isl,osl\n900,910,120.5,9,4,1,64,128,4000,1000\n' > "$dir/x/agg/best_config_topn.csv"
printf 'tokens/s/gpu_cluster,ttft,(p)parallel,(d)parallel,(p)workers,(d)workers,(d)bs,isl,osl\n1500,300,tp2pp1,tp4pp1,2,1,256,4000,1000\n' > "$dir/x/disagg/best_config_topn.csv"
`

func question(model, gpu string, n int) aiconfigurator.Question {
	return aiconfigurator.Question{Model: model, Shape: llama, GPU: gpu, MemoryGb: 80, GPUs: n}
}

func TestTheCommandIsAsked(t *testing.T) {
	path, notes := command(t, bothResults)
	t.Setenv("KUBEFOUNDRY_SECRET", "do-not-tell")
	tool := aiconfigurator.New(aiconfigurator.Options{Path: path})
	require.Equal(t, api.AiConfiguratorStatus{Available: true, Source: api.AiSourceCli, Version: "0.4.1"}, tool.Status(t.Context()))

	q := question("meta.org/Llama-3.3-70B.v1", "NVIDIA-H100-80GB-HBM3", 8)
	q.MaxLatencyMs, q.Token = 250.5, "hf_abcdef"
	got := tool.Analyze(t.Context(), q)
	require.True(t, got.Success, got.Error)
	require.Equal(t, api.AiSourceCli, got.Source)
	require.Equal(t, api.ModeDisaggregated, got.Mode)
	require.Equal(t, []int{2, 4, 2, 1}, []int{got.Config.PrefillTensorParallel, got.Config.DecodeTensorParallel, got.Config.PrefillReplicas, got.Config.DecodeReplicas})
	require.InDelta(t, 1500, *got.Prediction.TokensPerSecondPerGpu, 0)
	require.Equal(t, "vllm", got.Backend)

	told, err := os.ReadFile(notes)
	require.NoError(t, err)
	args := strings.Split(strings.TrimSpace(string(told)), "\n")
	dir := args[len(args)-3]
	require.Equal(t, []string{"cli", "default", "--hf_id", q.Model, "--total_gpus", "8", "--system", "h100_sxm", "--backend", "vllm", "--save_dir", dir, "--ttft", "251"}, args)
	require.NoDirExists(t, dir, "nothing is left behind")
	environment, err := os.ReadFile(notes + ".env")
	require.NoError(t, err)
	require.NotContains(t, string(environment), "do-not-tell")
	require.Contains(t, string(environment), "HF_TOKEN=hf_abcdef")

	q.Latency = true
	got = tool.Analyze(t.Context(), q)
	require.Equal(t, api.ModeAggregated, got.Mode, "the first token comes sooner")
	require.Equal(t, 4, got.Config.TensorParallelDegree)
	require.Equal(t, 2, got.Replicas)
	require.Equal(t, 5000, got.Config.MaxModelLen)
}

// TestHostileNamesReachNoCommand: a model's id is one argument, or is not given to the command at all.
func TestHostileNamesReachNoCommand(t *testing.T) {
	path, notes := command(t, bothResults)
	tool := aiconfigurator.New(aiconfigurator.Options{Path: path})
	for _, id := range []string{"--help", "-x", "a b", "a;rm -rf /", "$(id)", "a/b/c", "a\nb", "`id`", "'", "../x", "/etc/passwd", strings.Repeat("a", 300)} {
		got := tool.Analyze(t.Context(), question(id, "H100", 8))
		require.Equal(t, api.AiSourceAnalytic, got.Source, id)
		require.NoFileExists(t, notes, id)
	}
}

// TestAFailureLeavesTheEstimate: it says why, and nothing of it is left.
func TestAFailureLeavesTheEstimate(t *testing.T) {
	for name, tt := range map[string]struct{ body, gpu, why string }{
		"gated":             {"echo 'Cannot access gated repo for hf_secret123'; exit 1", "H100", "gated"},
		"nothing found":     {"echo 'RuntimeError: No successful experiment runs'; exit 1", "H200", "none of its experiments"},
		"other":             {"echo 'Traceback'; echo 'ValueError: bad token hf_secret123' >&2; exit 2", "B200", "ValueError: bad token hf_…"},
		"no files":          {"exit 0", "H100", "no result"},
		"hostile files":     {`mkdir -p "$dir/agg"; ln -s /etc/passwd "$dir/agg/best_config_topn.csv"`, "H100", "no result"},
		"nonsense":          {`mkdir -p "$dir/agg"; printf 'tp,bs\nNaN,-1\n' > "$dir/agg/best_config_topn.csv"`, "H100", "no result"},
		"too slow":          {"sleep 60 & sleep 60", "H100", "did not end in time"},
		"much to say":       {"yes x | head -c 3000000; exit 1", "H100", "gave no answer"},
		"a GPU it does not": {"exit 0", "NVIDIA-A10G", "no data for"},
		"another one":       {"exit 0", "Tesla-T4", "no data for"},
	} {
		t.Run(name, func(t *testing.T) {
			path, notes := command(t, tt.body)
			tool := aiconfigurator.New(aiconfigurator.Options{Path: path, Timeout: time.Second})
			began := time.Now()
			got := tool.Analyze(t.Context(), question("org/model", tt.gpu, 8))
			require.Less(t, time.Since(began), 10*time.Second)
			require.Equal(t, api.AiSourceAnalytic, got.Source)
			require.Equal(t, "analytic", got.Backend)
			require.Contains(t, got.Warnings[1], tt.why)
			require.NotContains(t, strings.Join(got.Warnings, " "), "secret123")
			if dir, err := os.ReadFile(notes + ".dir"); err == nil {
				require.NoDirExists(t, strings.TrimSpace(string(dir)))
			}
		})
	}
}

func TestWithoutTheCommandSuggestionsAreStillThere(t *testing.T) {
	for _, path := range []string{"none", "/no/such/command", "no-such-command-anywhere"} {
		tool := aiconfigurator.New(aiconfigurator.Options{Path: path})
		status := tool.Status(t.Context())
		require.True(t, status.Available)
		require.Equal(t, api.AiSourceAnalytic, status.Source)
		require.NotEmpty(t, status.Error)
		got := tool.Analyze(t.Context(), question("org/model", "H100", 4))
		require.True(t, got.Success)
		require.Nil(t, got.Prediction)
	}
}

func TestAnEstimateThatCanBeChecked(t *testing.T) {
	got := aiconfigurator.Suggest(question("meta/llama-70b", "H100", 8)) // 130 GiB of weights: two of 80 GiB leave too little
	require.True(t, got.Success)
	require.Equal(t, 4, got.Config.TensorParallelDegree)
	require.Equal(t, 2, got.Replicas)
	require.Equal(t, 131072, got.Config.MaxModelLen)
	require.Contains(t, got.Warnings[0], "estimate")

	few := aiconfigurator.Suggest(question("meta/llama-70b", "H100", 2))
	require.False(t, few.Success)
	require.Contains(t, few.Error, "needs 4 of these GPUs with 80 GiB, and there are 2")
	unknown := question("meta/llama", "Radeon", 2)
	unknown.MemoryGb = 0
	require.Contains(t, aiconfigurator.Suggest(unknown).Error, "memory is known")
}

// TestASuggestionFits: whatever the model and the GPUs, what is suggested is a power of two, no more GPUs than there are, shares
// out the heads, and holds weights and the longest conversation.
func TestASuggestionFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := models.Shape{
			Parameters: rapid.Int64Range(0, 700e9).Draw(t, "parameters"), Format: rapid.SampledFrom([]models.Format{"", "bf16", "fp8"}).Draw(t, "format"),
			ContextLength: rapid.SampledFrom([]int{0, 2048, 32768, 131072}).Draw(t, "context"),
		}
		if rapid.Bool().Draw(t, "known") {
			s.Layers, s.HeadDim = rapid.IntRange(1, 130).Draw(t, "layers"), 128
			s.KVHeads = rapid.IntRange(1, 16).Draw(t, "kv heads")
			s.AttentionHeads = s.KVHeads * rapid.IntRange(1, 12).Draw(t, "per kv head")
		}
		q := aiconfigurator.Question{
			Model: "m", Shape: s, GPU: "g", MemoryGb: rapid.SampledFrom([]int{0, 16, 24, 80, 141}).Draw(t, "memory"), GPUs: rapid.IntRange(1, 130).Draw(t, "gpus"),
			Latency: rapid.Bool().Draw(t, "latency"), ContextLength: rapid.SampledFrom([]int{0, 1, 8192, 1 << 20}).Draw(t, "asked"),
		}
		got := aiconfigurator.Suggest(q)
		c := got.Config
		if c.TensorParallelDegree < 1 || c.MaxBatchSize < 1 || c.MaxModelLen < 1 || got.Replicas < 1 || c.GpuMemoryUtilization > 0.95 || got.Success != (got.Error == "") {
			t.Fatalf("%+v", got)
		}
		if !got.Success {
			return
		}
		if n := c.TensorParallelDegree; n&(n-1) != 0 || n*got.Replicas > q.GPUs || s.AttentionHeads > 0 && s.AttentionHeads%n != 0 {
			t.Fatalf("%+v", got)
		}
		weights, _ := s.Weights()
		need := float64(weights)/float64(c.TensorParallelDegree) + float64(s.KVPerToken())*float64(c.MaxModelLen)/float64(c.TensorParallelDegree)
		if need > float64(q.MemoryGb)*(1<<30) {
			t.Fatalf("%+v needs %.0f GiB of each", got, need/(1<<30))
		}
		if s.ContextLength > 0 && c.MaxModelLen > s.ContextLength {
			t.Fatalf("longer than the model takes: %+v", got)
		}
	})
}
