package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// GetLivez answers as long as the process does.
func (s *Server) GetLivez(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

// GetReadyz answers 200 once everything that can be read has been: a resource that is absent or forbidden is known to be so,
// and waiting for it would keep everything else from being served. A cluster that was never reached is not read; one that
// was lost later is still served, as of then.
func (s *Server) GetReadyz(w http.ResponseWriter, r *http.Request) {
	states, err := s.view.States(view.Scope{Sight: api.Everything()})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	cluster, err := s.view.Cluster()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var waiting []string
	for _, kind := range api.Kinds() {
		if state := states[kind]; !state.Synced && !settled(state, cluster.Connected) {
			waiting = append(waiting, string(kind))
		}
	}
	if len(waiting) > 0 { // anybody may ask this: why is for callers, in the lists, and in the log
		s.fail(w, r, api.Errorf(api.ErrorCodeNotSynced, "still being read from the cluster: %s; their lists and the log say more", strings.Join(waiting, ", ")))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// settled tells whether each source was read once, or is known to be missing: what is out of date is still served.
func settled(state api.KindState, connected bool) bool {
	for _, source := range state.Sources {
		if source.State == api.SourceStateStarting || source.State == api.SourceStateFailed && !connected {
			return false
		}
	}
	return len(state.Sources) > 0
}

const metricsPath = "/metrics"

// GetMetrics is the server's own metrics.
func (s *Server) GetMetrics(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// GetOpenapi is the document that every request is held against.
func (s *Server) GetOpenapi(w http.ResponseWriter, _ *http.Request) {
	writeBytes(w, http.StatusOK, s.openapiJSON)
}

// GetHealth answers with the time.
func (s *Server) GetHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, api.Health{Status: api.HealthStatusHealthy, Timestamp: time.Now().UTC().Truncate(time.Millisecond)})
}

// GetCluster is GetHealth under its other path.
func (s *Server) GetCluster(w http.ResponseWriter, r *http.Request) { s.GetHealth(w, r) }

// GetVersion tells what is running.
func (s *Server) GetVersion(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.version)
}

// GetClusterVersion is GetVersion under its other path.
func (s *Server) GetClusterVersion(w http.ResponseWriter, r *http.Request) { s.GetVersion(w, r) }
