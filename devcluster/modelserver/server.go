package modelserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// server is one pod at one moment.
type server struct {
	pod   *corev1.Pod
	kind  kind
	model model
	load  load
	now   time.Time
	ready bool // there is a model to answer with
}

func (s server) vllm() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"version": "0.11.0"})
	})
	mux.HandleFunc("GET /metrics", s.metrics(vllmMetrics))
	s.openAI(mux)
	return mux
}

func (s server) llamaCpp() http.Handler {
	mux := http.NewServeMux()
	if !s.ready {
		// llama.cpp listens at once and says that it is loading.
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			fail(w, http.StatusServiceUnavailable, "unavailable_error", "The model is being loaded")
		})
		return mux
	}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /metrics", s.metrics(llamaCppMetrics))
	s.openAI(mux)
	return mux
}

func (s server) dynamoFrontend() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "live"})
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready {
			answer(w, http.StatusServiceUnavailable, map[string]any{"status": "unhealthy", "endpoints": []string{}})
			return
		}
		answer(w, http.StatusOK, map[string]any{"status": "healthy", "endpoints": []string{"dyn://" + s.pod.Namespace + ".backend.generate"}})
	})
	// A real frontend has dynamo_frontend_ names alone, its workers the engine's.
	// Here both stand on the frontend, which is the only one with a Service.
	mux.HandleFunc("GET /metrics", s.metrics(dynamoMetrics, vllmMetrics))
	s.openAI(mux)
	return mux
}

func (s server) dynamoWorker() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"GET /health", "GET /live"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]any{"status": "ready"})
		})
	}
	mux.HandleFunc("GET /metrics", s.metrics(vllmMetrics))
	return mux
}

// ray is a Ray node: every node exports metrics and, once there is an
// application, takes requests; the head has the dashboard.
func (s server) ray(port uint16) http.Handler {
	mux := http.NewServeMux()
	switch {
	case port == 8080:
		mux.HandleFunc("GET /metrics", s.metrics(rayMetrics))
	case port == 8000 && s.ready:
		mux.HandleFunc("GET /-/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "success") })
		mux.HandleFunc("GET /-/routes", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]any{"/": "llm_app"})
		})
		s.openAI(mux)
	case port == 8265 && s.kind == rayHead:
		s.dashboard(mux)
	default:
		return nil
	}
	return mux
}

// dashboard is the part of Ray's dashboard that operators ask.
func (s server) dashboard(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"version": "4", "ray_version": "2.55.0", "session_name": "session_" + string(s.pod.UID)})
	})
	mux.HandleFunc("GET /api/gcs_healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "success") })
	mux.HandleFunc("PUT /api/serve/applications/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /api/serve/applications/", func(w http.ResponseWriter, _ *http.Request) {
		status, state := "DEPLOYING", "UPDATING"
		if s.ready {
			status, state = "RUNNING", "HEALTHY"
		}
		deployments := map[string]any{}
		for _, name := range []string{"LLMServer", "OpenAiIngress"} {
			deployments[name] = map[string]any{"name": name, "status": state, "message": ""}
		}
		answer(w, http.StatusOK, map[string]any{
			"proxy_location": "EveryNode",
			"applications": map[string]any{"llm_app": map[string]any{
				"name": "llm_app", "route_prefix": "/", "status": status, "message": "",
				"last_deployed_time_s": float64(startOf(s.pod).Unix()), "deployments": deployments,
			}},
		})
	})
}

// metrics answers with several groups of metrics in the text format.
func (s server) metrics(groups ...func(*exposition, server)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var e exposition
		for _, group := range groups {
			group(&e, s)
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		if _, err := w.Write(e.Bytes()); err != nil {
			return // the reader is gone
		}
	}
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		return // the reader is gone
	}
}

// fail answers in the shape of OpenAI's errors.
func fail(w http.ResponseWriter, code int, kind, message string) {
	answer(w, code, map[string]any{"error": map[string]any{"message": message, "type": kind, "code": code}})
}
