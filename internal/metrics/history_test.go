package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// server is a server that observes, and tells it as servers do.
type server struct {
	bounds   []float64
	buckets  []float64
	count    float64
	sum      float64
	requests float64
}

func (s *server) observe(x float64) {
	for i, bound := range s.bounds {
		if x <= bound {
			s.buckets[i]++
		}
	}
	s.count++
	s.sum += x
}

func (s *server) restart() {
	*s = server{bounds: s.bounds, buckets: make([]float64, len(s.bounds))}
}

func (s *server) text() string {
	var b strings.Builder
	b.WriteString("# TYPE vllm:e2e_request_latency_seconds histogram\n")
	for i, bound := range s.bounds {
		fmt.Fprintf(&b, "vllm:e2e_request_latency_seconds_bucket{engine=\"0\",le=\"%g\"} %g\n", bound, s.buckets[i])
	}
	fmt.Fprintf(&b, "vllm:e2e_request_latency_seconds_bucket{engine=\"0\",le=\"+Inf\"} %g\n", s.count)
	fmt.Fprintf(&b, "vllm:e2e_request_latency_seconds_sum{engine=\"0\"} %g\nvllm:e2e_request_latency_seconds_count{engine=\"0\"} %g\n", s.sum, s.count)
	fmt.Fprintf(&b, "# TYPE vllm:request_success_total counter\nvllm:request_success_total{engine=\"0\"} %g\n", s.requests)
	return b.String()
}

func parsed(t require.TestingT, text string) []api.MetricSample {
	samples, f := read(Target{}, []byte(text))
	require.Nil(t, f, "%+v", f)
	return samples
}

// TestQuantilesAreThoseOfWhatWasObserved: against the values themselves, an estimate lies in the bucket where the value is, also
// over restarts and over servers with other buckets.
func TestQuantilesAreThoseOfWhatWasObserved(t *testing.T) {
	layouts := [][]float64{{0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 5, 10}, {0.05, 0.25, 1, 4, 16}, {0.001, 0.1, 1, 20}}
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)) //nolint:gosec // repeatable
		servers := make([]*server, rapid.IntRange(1, 3).Draw(t, "servers"))
		histories := make([]*history, len(servers))
		var bounds, observed []float64
		for i := range servers {
			layout := rapid.SampledFrom(layouts).Draw(t, "layout")
			bounds = append(bounds, layout...)
			servers[i], histories[i] = &server{bounds: layout, buckets: make([]float64, len(layout))}, &history{}
			for range rapid.IntRange(0, 30).Draw(t, "before") {
				servers[i].observe(random.ExpFloat64())
			}
			histories[i].add(noon, parsed(t, servers[i].text()))
		}
		scale := rapid.Float64Range(0.05, 3).Draw(t, "scale")
		for n := range rapid.IntRange(1, 6).Draw(t, "readings") {
			for i, s := range servers {
				// After a restart there have to be at least as many as to be told from none, or it goes unnoticed.
				if rapid.Bool().Draw(t, "restart") && s.count > 0 {
					s.restart()
					histories[i].add(noon.Add(time.Duration(n)*10*time.Second+time.Second), parsed(t, s.text()))
				}
				for range rapid.IntRange(0, 200).Draw(t, "requests") {
					x := random.ExpFloat64() * scale
					s.observe(x)
					observed = append(observed, x)
				}
				histories[i].add(noon.Add(time.Duration(n+1)*10*time.Second), parsed(t, s.text()))
			}
		}
		var all readings
		for i, s := range servers {
			all = append(all, newReading(parsed(t, s.text()), histories[i]))
		}
		got := figures(all).RequestLatency
		if len(observed) == 0 {
			require.Nil(t, got, "nothing was observed")
			return
		}
		require.NotNil(t, got)
		require.LessOrEqual(t, got.P50, got.P95)
		require.LessOrEqual(t, got.P95, got.P99)
		slices.Sort(observed)
		slices.Sort(bounds)
		for q, estimate := range map[float64]float64{0.5: got.P50, 0.95: got.P95, 0.99: got.P99} {
			exact := observed[max(0, int(math.Ceil(q*float64(len(observed))))-1)]
			if len(servers) > 1 { // in a mixture of layouts, the coarsest buckets that lie around it bound the error
				low, high := around(layouts, exact)
				require.GreaterOrEqual(t, estimate, low-1e-9, "p%g of %v", 100*q, exact)
				require.LessOrEqual(t, estimate, high+1e-9, "p%g of %v", 100*q, exact)
				continue
			}
			i, _ := slices.BinarySearch(bounds, exact)
			low, high := 0.0, bounds[len(bounds)-1]
			if i > 0 {
				low = bounds[i-1]
			}
			if i < len(bounds) {
				high = bounds[i]
			}
			require.GreaterOrEqual(t, estimate, low-1e-9, "p%g of %v", 100*q, exact)
			require.LessOrEqual(t, estimate, high+1e-9, "p%g of %v", 100*q, exact)
		}
	})
}

// around is the range of all layouts' buckets around a value. Where it is in the last one of a layout, that has no end; the
// estimate ends with the largest bound of all.
func around(layouts [][]float64, x float64) (low, high float64) {
	low = x
	for _, layout := range layouts {
		i, _ := slices.BinarySearch(layout, x)
		if i == 0 {
			low = 0
		} else {
			low = min(low, layout[i-1])
		}
		if i == len(layout) {
			high = 20
		} else {
			high = max(high, layout[i])
		}
	}
	return low, high
}

// TestRatesOverRestarts: whatever a counter does, the rate is what was counted since, over the time.
func TestRatesOverRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, s := &history{}, &server{requests: float64(rapid.IntRange(0, 1000).Draw(t, "before"))}
		at := noon
		h.add(at, parsed(t, s.text()))
		counted, span := 0.0, time.Duration(0)
		for range rapid.IntRange(1, 7).Draw(t, "readings") {
			n := float64(rapid.IntRange(0, 500).Draw(t, "requests"))
			if rapid.Bool().Draw(t, "restart") && s.requests > n { // what was counted between the reading and the restart is lost
				s.restart()
			}
			s.requests += n
			counted += n
			step := time.Duration(rapid.IntRange(1, 17).Draw(t, "seconds")) * time.Second
			span += step
			at = at.Add(step)
			h.add(at, parsed(t, s.text()))
		}
		d := figures(readings{newReading(parsed(t, s.text()), h)})
		require.InDelta(t, span.Seconds(), d.Window, 1e-9)
		require.InDelta(t, counted/span.Seconds(), *d.RequestsPerSecond, 1e-9)
	})
}

// TestTheWindowMoves: what is older than two minutes does not count any more.
func TestTheWindowMoves(t *testing.T) {
	h, s := &history{}, &server{requests: 10}
	for i := range 30 {
		if i < 15 {
			s.requests += 150
		}
		h.add(noon.Add(time.Duration(i)*Interval), parsed(t, s.text()))
		d := figures(readings{newReading(parsed(t, s.text()), h)})
		require.LessOrEqual(t, d.Window, Window.Seconds())
		switch {
		case i == 0:
			require.Zero(t, d.Window)
			require.Nil(t, d.RequestsPerSecond, "one reading is no rate")
		case i < 15:
			require.InDelta(t, 10, *d.RequestsPerSecond, 1e-9)
		case i > 15+8:
			require.Zero(t, *d.RequestsPerSecond)
			require.Nil(t, d.RequestLatency)
		}
	}
	// Nobody looked for a while, or the server did not answer.
	s.requests += 1e6
	h.add(noon.Add(time.Hour), parsed(t, s.text()))
	require.Nil(t, figures(readings{newReading(parsed(t, s.text()), h)}).RequestsPerSecond)
}
