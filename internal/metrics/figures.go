package metrics

import (
	"cmp"
	"math"
	"strconv"

	"github.com/kubefoundry/kubefoundry/api"
)

// reading is what one server says now, and what it said before.
type reading struct {
	samples map[string][]api.MetricSample // by plain name
	history *history                      // nil where there are only gauges
}

func newReading(samples []api.MetricSample, h *history) reading {
	r := reading{map[string][]api.MetricSample{}, h}
	for _, s := range samples {
		name := plain(s.Name)
		r.samples[name] = append(r.samples[name], s)
	}
	return r
}

// figures are what the readings of a deployment's servers mean.
func figures(all readings) api.DerivedMetrics {
	d := api.DerivedMetrics{
		Targets:         len(all),
		RequestsRunning: all.gauge(running, false), RequestsWaiting: all.gauge(waiting, false),
		RequestsPerSecond: all.rate(requests), PromptTokensPerSecond: all.rate(promptTokens), GenerationTokensPerSecond: all.rate(generatedTokens),
		TimeToFirstToken: all.quantiles(firstToken), InterTokenLatency: all.quantiles(betweenTokens), RequestLatency: all.quantiles(latency),
		KvCacheUsage: all.gauge(cache, true), ErrorRate: all.share(errorRate),
	}
	var known bool
	if d.PrefixCacheHitRate, known = all.shareOf(hits); !known {
		d.PrefixCacheHitRate = all.gauge(hitRate, true)
	}
	for _, r := range all {
		if r.history != nil {
			d.Window = max(d.Window, r.history.span().Seconds())
		}
	}
	return d
}

type readings []reading

// pick calls use with each server and the series that it has of the first step of the ladder that any has.
func (all readings) pick(l ladder, suffix string, use func(r *reading, s series)) {
	for _, step := range l {
		found := false
		for i := range all {
			for _, s := range step {
				s.name += suffix
				if len(all[i].samples[s.name]) > 0 {
					found = true
					use(&all[i], s)
					break
				}
			}
		}
		if found {
			return
		}
	}
}

// gauge is the sum over all series, or the mean: shares do not add up.
func (all readings) gauge(l ladder, mean bool) *float64 {
	sum, n := 0.0, 0
	all.pick(l, "", func(r *reading, s series) {
		for _, sample := range r.samples[s.name] {
			sum += sample.Value
			n++
		}
	})
	switch {
	case n == 0:
		return nil
	case mean:
		sum /= float64(n)
	}
	return &sum
}

// rate is per second. Servers may have been watched for different times.
func (all readings) rate(l ladder) *float64 {
	sum, known := 0.0, false
	all.pick(l, "", func(r *reading, s series) {
		if span := r.history.seconds(); span > 0 {
			known = true
			sum += r.history.sum(s) / span
		}
	})
	if !known {
		return nil
	}
	return &sum
}

func (h *history) seconds() float64 {
	if h == nil {
		return 0
	}
	return h.span().Seconds()
}

// sum is what the series grew by in the window.
func (h *history) sum(s series) (sum float64) {
	if h == nil {
		return 0
	}
	for _, i := range h.intervals {
		for _, c := range i.increments {
			if c.name == s.name && (s.match == nil || s.match(c.labels)) {
				sum += c.value
			}
		}
	}
	return sum
}

func (all readings) share(ratios []ratio) *float64 {
	share, _ := all.shareOf(ratios)
	return share
}

// shareOf tells also whether any server has the counters: then there is a share once something is counted. Of the ratios, each
// server's first one counts.
func (all readings) shareOf(ratios []ratio) (share *float64, known bool) {
	part, whole := 0.0, 0.0
	for _, r := range all {
		for _, of := range ratios {
			if len(r.samples[of.whole.name]) > 0 {
				known = true
				part += r.history.sum(of.part)
				whole += r.history.sum(of.whole)
				break
			}
		}
	}
	if whole <= 0 {
		return nil, known
	}
	part = min(part/whole, 1) // two counters are not read at one moment
	return &part, known
}

// quantiles are in seconds.
func (all readings) quantiles(l ladder) *api.Quantiles {
	var observed []histogram
	all.pick(l, "_bucket", func(r *reading, s series) {
		if h := r.history.histogram(s); len(h) > 0 {
			observed = append(observed, h)
		}
	})
	merged := merge(observed)
	if merged.total() <= 0 {
		return nil
	}
	return &api.Quantiles{P50: merged.quantile(0.5), P95: merged.quantile(0.95), P99: merged.quantile(0.99)}
}

// histogram is what was observed in the window, over all series that one server has of it.
func (h *history) histogram(s series) histogram {
	if h == nil {
		return nil
	}
	counts := map[float64]float64{}
	for _, i := range h.intervals {
		for _, c := range i.increments {
			if c.name != s.name {
				continue
			}
			if bound, err := strconv.ParseFloat(c.labels["le"], 64); err == nil && !math.IsNaN(bound) {
				counts[bound*cmp.Or(s.scale, 1)] += c.value
			}
		}
	}
	return newHistogram(counts)
}
