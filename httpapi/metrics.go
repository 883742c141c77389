package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubefoundry/kubefoundry/view"
)

// metrics of the server. Times are in seconds, as Prometheus wants them.
type metrics struct {
	requests     *prometheus.CounterVec
	durations    *prometheus.HistogramVec
	streams      prometheus.Gauge
	ended        *prometheus.CounterVec
	resets       *prometheus.CounterVec
	frames       prometheus.Counter
	frameBytes   prometheus.Counter
	framesShared prometheus.Counter
	rejected     prometheus.Counter
}

func newMetrics(registry *prometheus.Registry, v *view.View) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubefoundry_http_requests_total",
			Help: "Requests answered, without streams.",
		}, []string{"route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubefoundry_http_request_duration_seconds",
			Help: "Time to answer a request, without streams.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}, []string{"route"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubefoundry_stream_clients", Help: "Open streams."}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubefoundry_stream_ended_total",
			Help: "Streams that ended, by reason: gone (the client left), stalled (it did not read in time), shutdown, max-age.",
		}, []string{"reason"}),
		resets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubefoundry_stream_resets_total",
			Help: "Clients that had to start over, by reason; start is a client without a cursor.",
		}, []string{"reason"}),
		frames:     prometheus.NewCounter(prometheus.CounterOpts{Name: "kubefoundry_stream_frames_total", Help: "Events handed to streams."}),
		frameBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "kubefoundry_stream_bytes_total", Help: "Bytes of event data handed to streams."}),
		framesShared: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubefoundry_stream_frames_shared_total",
			Help: "Frames of changes that were rendered already for another client.",
		}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{Name: "kubefoundry_stream_rejected_total", Help: "Streams refused because too many were open."}),
	}
	registry.MustRegister(m.requests, m.durations, m.streams, m.ended, m.resets, m.frames, m.frameBytes, m.framesShared, m.rejected, &viewCollector{v})
	return m
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route).Observe(took.Seconds())
}

// viewCollector reads the view's size when somebody asks.
type viewCollector struct{ view *view.View }

var (
	documentsDesc  = prometheus.NewDesc("kubefoundry_view_documents", "Documents held, by kind.", []string{"kind"}, nil)
	tombstonesDesc = prometheus.NewDesc("kubefoundry_view_tombstones", "Deletions remembered for readers that come back.", nil, nil)
	revisionDesc   = prometheus.NewDesc("kubefoundry_view_revision", "Newest revision of the epoch.", nil, nil)
)

func (c *viewCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- documentsDesc
	ch <- tombstonesDesc
	ch <- revisionDesc
}

func (c *viewCollector) Collect(ch chan<- prometheus.Metric) {
	documents, tombstones := c.view.Size()
	for kind, n := range documents {
		ch <- prometheus.MustNewConstMetric(documentsDesc, prometheus.GaugeValue, float64(n), string(kind))
	}
	ch <- prometheus.MustNewConstMetric(tombstonesDesc, prometheus.GaugeValue, float64(tombstones))
	cursor, _ := c.view.Cursor()
	ch <- prometheus.MustNewConstMetric(revisionDesc, prometheus.GaugeValue, float64(cursor.Revision))
}
