package metrics

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

// TestEngines: what the servers of each engine say twice, ten seconds apart, means the same everywhere. A file holds both
// answers of each server, parted by lines that begin with ---.
func TestEngines(t *testing.T) {
	for file, want := range map[string]struct {
		running, waiting, requests, errors, prompt, generated, cache, hits float64 // -1: not known
		p50                                                                [3]float64
	}{
		"vllm-0.6":  {3, 1, 2, -1, 100, 50, 0.25, 0.4, [3]float64{0.05, 0.0375, 1.25}},
		"vllm-0.11": {3, 1, 2, 0.1, 100, 50, 0.25, 0.4, [3]float64{0.05, 0.0375, 1.25}},
		"sglang":    {4, 2, 3, -1, 120, 60, 0.5, 0.7, [3]float64{0.05, 0.0375, 1.25}},
		"trtllm":    {-1, -1, 2, -1, -1, -1, 0.3, 0.6, [3]float64{0.05, 0.0375, 1.25}},
		"llamacpp":  {1, 0, -1, -1, 10, 5, 0.125, -1, [3]float64{-1, -1, -1}},
		"dynamo":    {5, 2, 4, 0.25, 400, 200, 0.4, 0.5, [3]float64{0.05, 0.0375, 1.25}}, // a frontend and two workers
		"ray":       {6, 1, 5, 0.2, 100, 50, 0.3, 0.5, [3]float64{0.05, -1, 0.15}},       // a head and a worker
		"versions":  {5, 0, 3, -1, -1, -1, 0.35, 0.5, [3]float64{-1, -1, -1}},            // two replicas, one updated
	} {
		t.Run(file, func(t *testing.T) {
			var all readings
			for _, answers := range recorded(t, file) {
				h := &history{}
				for i, answer := range answers {
					h.add(noon.Add(time.Duration(i)*10*time.Second), parsed(t, answer))
				}
				all = append(all, newReading(parsed(t, answers[len(answers)-1]), h))
			}
			d := figures(all)
			require.InDelta(t, 10, d.Window, 1e-9)
			require.Equal(t, len(all), d.Targets)
			for name, pair := range map[string]struct {
				want float64
				got  *float64
			}{
				"running": {want.running, d.RequestsRunning}, "waiting": {want.waiting, d.RequestsWaiting},
				"requests": {want.requests, d.RequestsPerSecond}, "errors": {want.errors, d.ErrorRate},
				"prompt": {want.prompt, d.PromptTokensPerSecond}, "generated": {want.generated, d.GenerationTokensPerSecond},
				"cache": {want.cache, d.KvCacheUsage}, "hits": {want.hits, d.PrefixCacheHitRate},
				"first token": {want.p50[0], median(d.TimeToFirstToken)}, "between tokens": {want.p50[1], median(d.InterTokenLatency)},
				"latency": {want.p50[2], median(d.RequestLatency)},
			} {
				if pair.want < 0 {
					require.Nil(t, pair.got, name)
					continue
				}
				require.NotNil(t, pair.got, name)
				require.InDelta(t, pair.want, *pair.got, 1e-9, name)
			}
		})
	}
}

func median(q *api.Quantiles) *float64 {
	if q == nil {
		return nil
	}
	return &q.P50
}

// recorded are the answers of each server.
func recorded(t *testing.T, file string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file+".txt"))
	require.NoError(t, err)
	answers := map[string][]string{}
	for part := range strings.SplitSeq(string(b), "--- ") {
		server, text, _ := strings.Cut(part, "\n")
		if server != "" {
			answers[server] = append(answers[server], text)
		}
	}
	require.NotEmpty(t, answers)
	return answers
}

// TestLabelsAreNoSyntax: values may hold whatever ends something elsewhere.
func TestLabelsAreNoSyntax(t *testing.T) {
	samples := parsed(t, `# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="a}b",note="say \"hi\", {ok}\\\n"} 5
`)
	require.Equal(t, []api.MetricSample{{
		Name: "vllm:num_requests_running", Value: 5, Labels: map[string]string{"model_name": "a}b", "note": "say \"hi\", {ok}\\\n"},
	}}, samples)
}

func TestWhatJSONDoesNotKnowIsLeftOut(t *testing.T) {
	require.Empty(t, parsed(t, "a NaN\nb +Inf\nc -Inf\n"))
}

func TestHalfAnAnswer(t *testing.T) {
	samples, f := read(Target{Resource: "pods", Name: "p", Port: 1}, []byte("a 1\nb{ 2\n"))
	require.Equal(t, "a", samples[0].Name)
	require.Equal(t, api.MetricsUnavailableUnreadable, f.reason)
	require.Contains(t, f.message, "pod p:1")

	samples, f = read(Target{}, []byte("<html><body>It works</body></html>"))
	require.Empty(t, samples)
	require.Equal(t, api.MetricsUnavailableUnreadable, f.reason)

	_, f = read(Target{}, []byte(strings.Repeat("a 1\n", maxLines+1)))
	require.Equal(t, api.MetricsUnavailableTooLarge, f.reason)
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		samples, _ := read(Target{}, b)
		h := &history{}
		h.add(noon, samples)
		h.add(noon.Add(Interval), samples)
		c := Collection{Answer: api.DeploymentMetrics{Metrics: samples, Derived: figures(readings{newReading(samples, h)})}}
		_, err := c.JSON(false)
		require.NoError(t, err)
	})
}
