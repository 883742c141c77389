package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// fail answers with an error. One that is no *api.Error is a fault of ours: it is logged, and the caller reads only that.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *api.Error
	if !errors.As(err, &e) {
		s.log.Error("request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
		e = api.Errorf(api.ErrorCodeInternal, "the server failed to answer; its log says why")
	}
	var limit *limitError
	switch {
	case errors.As(err, &limit):
		w.Header().Set("Retry-After", limit.retryAfter())
	case e.StatusCode == http.StatusServiceUnavailable || e.StatusCode == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "5")
	case e.StatusCode == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="kubefoundry"`)
	}
	writeJSON(w, e.StatusCode, api.ErrorBody{Error: *e})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, api.Errorf(api.ErrorCodeNotFound, "Route not found: %.20s %.200s. /openapi.json lists all routes.", r.Method, r.URL.Path))
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	allowed := s.methods(r)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.fail(w, r, api.Errorf(api.ErrorCodeMethodNotAllowed, "%.200s does not answer %.20s, only %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")))
}

// methods are those that the path of a request answers.
func (s *Server) methods(r *http.Request) []string {
	var methods []string
	for path, item := range s.document.Paths.Map() {
		if mux.NewRouter().Path(path).Match(r, &mux.RouteMatch{}) {
			for method := range item.Operations() {
				methods = append(methods, method)
				if method == http.MethodGet {
					methods = append(methods, http.MethodHead)
				}
			}
		}
	}
	slices.Sort(methods)
	return methods
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil { // only our own types come here
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	writeBytes(w, status, b)
}

func writeBytes(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b))) // for HEAD, and for whoever waits for the rest of a broken answer
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
