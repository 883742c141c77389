package watch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubefoundry/kubefoundry/api"
)

// metrics of one Watcher. Names of resources and kinds are few, so they are labels.
type metrics struct {
	documents *prometheus.GaugeVec
	results   *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	depth     prometheus.GaugeFunc
	sources   *prometheus.GaugeVec
	failures  *prometheus.CounterVec
}

func newMetrics(depth func() int) *metrics {
	const prefix = "kubefoundry_watch_"
	return &metrics{
		documents: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "documents", Help: "Documents that exist now.",
		}, []string{"kind"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "recomputations_total", Help: "Documents recomputed, by what came of it: put, delete or unchanged.",
		}, []string{"kind", "result"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "publish_seconds", Help: "Time from the receipt of a change to the publication of the document.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"kind"}),
		depth: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: prefix + "queue_depth", Help: "Documents that wait to be recomputed.",
		}, func() float64 { return float64(depth()) }),
		sources: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "source_state", Help: "1 for the state that a Kubernetes resource is in.",
		}, []string{"resource", "namespace", "runtime", "state"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "call_failures_total", Help: "Failed lists and watches.",
		}, []string{"resource", "verb"}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.documents, m.results, m.latency, m.depth, m.sources, m.failures}
}

func (m *metrics) callFailed(resource, verb string) { m.failures.WithLabelValues(resource, verb).Inc() }

func (m *metrics) published(kind api.Kind, result string, c cause) {
	m.results.WithLabelValues(string(kind), result).Inc()
	if !c.initial && result != resultUnchanged { // what was there at the start has no moment of change
		m.latency.WithLabelValues(string(kind)).Observe(time.Since(c.received).Seconds())
	}
}

func (m *metrics) sourceIs(source api.Source) {
	for _, state := range []api.SourceState{
		api.SourceStateStarting, api.SourceStateSynced, api.SourceStateAbsent, api.SourceStateStale, api.SourceStateFailed,
	} {
		value := 0.0
		if state == source.State {
			value = 1
		}
		m.sources.WithLabelValues(source.Resource, source.Namespace, source.Runtime, string(state)).Set(value)
	}
}
