package bus

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the bus counts. All of them exist even where no registerer was given.
type metrics struct {
	publishLatency prometheus.Histogram
	publishes      prometheus.Counter
	coalesced      prometheus.Counter
	failures       *prometheus.CounterVec // by reason
	refills        *prometheus.CounterVec // by reason
	purges         prometheus.Counter
	eventsSent     prometheus.Counter
	eventsDropped  *prometheus.CounterVec // by reason
	resumes        prometheus.Counter
	epochs         prometheus.Counter
	rewatches      *prometheus.CounterVec // by reason
	refusedKeys    prometheus.Counter
	lag            prometheus.Histogram
	reconnects     *prometheus.CounterVec // by connection
}

// latencies spans 50 µs, one hop inside the process, to 13 s, a NATS cluster that elects a leader.
func latencies() []float64 { return prometheus.ExponentialBuckets(50e-6, 2, 19) }

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	const namespace, subsystem = "kubefoundry", "bus"
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: latencies(),
		})
	}
	m := &metrics{
		publishLatency: histogram("publish_seconds", "From when a change was received to when the bucket acknowledged it."),
		publishes:      prometheus.NewCounter(counter("publishes_total", "Puts and purges that the bucket acknowledged.")),
		coalesced:      prometheus.NewCounter(counter("coalesced_total", "Changes that were overtaken by a newer one of the same document before they were sent.")),
		failures:       prometheus.NewCounterVec(counter("publish_failures_total", "Puts and purges that failed, by reason. They are sent again, except what is too large."), []string{"reason"}),
		refills:        prometheus.NewCounterVec(counter("refills_total", "Times that the bucket was compared with what it should hold, by reason."), []string{"reason"}),
		purges:         prometheus.NewCounter(counter("purges_total", "Documents purged from the bucket because nobody wants them there.")),
		eventsSent:     prometheus.NewCounter(counter("events_sent_total", "Events that their stream acknowledged.")),
		eventsDropped:  prometheus.NewCounterVec(counter("events_dropped_total", "Events that were not sent, by reason."), []string{"reason"}),
		resumes:        prometheus.NewCounter(counter("follower_resumes_total", "Times that the follower continued an epoch where it had stopped.")),
		epochs:         prometheus.NewCounter(counter("follower_epochs_total", "Times that the follower began a new epoch.")),
		rewatches:      prometheus.NewCounterVec(counter("follower_rewatches_total", "Times that the follower gave up a watch, by reason."), []string{"reason"}),
		refusedKeys:    prometheus.NewCounter(counter("follower_refused_keys_total", "Entries ignored because their key is none of ours.")),
		lag:            histogram("follower_lag_seconds", "From when the bucket stored a change to when it was applied."),
		reconnects:     prometheus.NewCounterVec(counter("reconnects_total", "Reconnections to NATS, by connection."), []string{"connection"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.publishLatency, m.publishes, m.coalesced, m.failures, m.refills, m.purges, m.eventsSent, m.eventsDropped,
		m.resumes, m.epochs, m.rewatches, m.refusedKeys, m.lag, m.reconnects,
	} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
