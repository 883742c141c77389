package automation

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connections prometheus.Gauge
	callers     prometheus.Gauge
	documents   prometheus.Counter
	events      prometheus.Counter
	refusals    *prometheus.CounterVec // by reason
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	const namespace, subsystem = "kubefoundry", "automation"
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	m := &metrics{
		connections: gauge("connections", "NATS connections of clients."),
		callers:     gauge("callers", "Callers that have an account."),
		documents:   prometheus.NewCounter(counter("documents_copied_total", "Puts and purges of documents in all accounts.")),
		events:      prometheus.NewCounter(counter("events_copied_total", "Events copied into all accounts.")),
		refusals:    prometheus.NewCounterVec(counter("refusals_total", "Clients that were refused or disconnected, by reason."), []string{"reason"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connections, m.callers, m.documents, m.events, m.refusals} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
