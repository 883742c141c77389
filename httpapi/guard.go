package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/felixge/httpsnoop"
	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	maxBody    = 1 << 20          // bytes that a request may carry
	bodyTime   = 30 * time.Second // within which they have to be here
	answerTime = 2 * time.Minute  // within which the caller has to take an answer; a stream sets its own for each event
)

type headKey struct{}

// guard stands before the router: it drops what must not get in, limits what may, and lets no panic out.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
					panic(p)
				}
				s.logPanic(r.URL.Path, p)
				s.fail(w, r, api.Errorf(api.ErrorCodeInternal, "the server failed to answer; its log says why"))
			}
		}()
		r.Header.Del("Cookie") // dashboards and the API server forward the user's token in it
		security(w.Header())
		if err := s.browser.fromPage(r); err != nil {
			s.fail(w, r, err)
			return
		}
		if r.ContentLength > maxBody {
			s.fail(w, r, api.Errorf(api.ErrorCodeTooLarge, "the body has %d bytes; at most %d are taken", r.ContentLength, maxBody))
			return
		}
		// Whoever sends or reads a byte at a time would otherwise keep the connection, and what it holds, for ever.
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(answerTime)) // unsupported only in tests without a connection
		if r.ContentLength != 0 {
			_ = control.SetReadDeadline(time.Now().Add(bodyTime))
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if r.Method == http.MethodHead { // every GET has its HEAD; net/http leaves the body out
			r = r.WithContext(context.WithValue(r.Context(), headKey{}, true))
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) logPanic(path string, p any) {
	s.log.Error("request panicked", zap.String("path", path), zap.Any("panic", p), zap.Stack("stack"))
}

// isHead tells whether a GET was asked for as HEAD.
func isHead(r *http.Request) bool { return r.Context().Value(headKey{}) != nil }

// observe counts and times requests by route. Streams are counted elsewhere: their time says nothing.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, _ := mux.CurrentRoute(r).GetPathTemplate()
		if route == streamPath {
			next.ServeHTTP(w, r)
			return
		}
		m := httpsnoop.CaptureMetrics(next, w, r)
		if w.Header().Get("Content-Type") == "text/event-stream" {
			return
		}
		s.metrics.request(route, m.Code, m.Duration)
		if m.Duration > time.Second {
			s.log.Warn("slow request", zap.String("route", route), zap.Duration("took", m.Duration), zap.Int64("bytes", m.Written))
		}
	})
}
