package modelserver

import "strconv"

// Bounds of the engines' histograms.
var (
	secondBounds = []float64{0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60}
	firstBounds  = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	tokenBounds  = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}
	lengthBounds = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}
	msBounds     = []float64{1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1000, 2000, 5000, 10000}
)

// vllmMetrics are those of vLLM, with the names of the present engine and those
// that the former one had for the same things, as versions between had both.
func vllmMetrics(e *exposition, s server) {
	l, by := s.load, label("engine", "0", "model_name", s.model.served)
	e.gauge("vllm:num_requests_running", "Requests being worked on", by, l.active())
	e.gauge("vllm:num_requests_waiting", "Requests in the queue", by, l.waiting())
	e.gauge("vllm:num_requests_swapped", "Requests moved out of GPU memory", by, 0)
	e.gauge("vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", by, l.cache())
	e.gauge("vllm:gpu_cache_usage_perc", "Share of the KV cache in use, 0 to 1 (older name)", by, l.cache())
	e.gauge("vllm:gpu_prefix_cache_hit_rate", "Share of prompt blocks found in the cache (older form)", by, l.hits)
	prompts := l.requests * l.prompt
	e.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache", by, prompts)
	e.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache", by, prompts*l.hits)
	e.counter("vllm:gpu_prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache (older name)", by, prompts)
	e.counter("vllm:gpu_prefix_cache_hits_total", "Prompt tokens found in the prefix cache (older name)", by, prompts*l.hits)
	e.counter("vllm:num_preemptions_total", "Requests set back for others", by, l.requests/500)
	e.counter("vllm:prompt_tokens_total", "Tokens of prompts", by, prompts)
	e.counter("vllm:generation_tokens_total", "Tokens generated", by, l.requests*l.generation)
	e.family("vllm:request_success_total", "counter", "Requests that ended well, by how they ended")
	for _, end := range []struct {
		reason string
		share  float64
	}{{"stop", 0.8}, {"length", 0.19}, {"abort", 0.01}} {
		e.sample("vllm:request_success_total", by.with(label("finished_reason", end.reason)), float64(int(l.served()*end.share)))
	}
	e.histogram("vllm:time_to_first_token_seconds", "Time to the first token", by, firstBounds, l.requests, l.first)
	e.histogram("vllm:inter_token_latency_seconds", "Time between tokens", by, tokenBounds, l.requests*l.generation, l.perToken)
	e.histogram("vllm:time_per_output_token_seconds", "Time between tokens (older name)", by, tokenBounds, l.requests*l.generation, l.perToken)
	e.histogram("vllm:e2e_request_latency_seconds", "Time of a whole request", by, secondBounds, l.requests, l.latency())
	e.histogram("vllm:request_queue_time_seconds", "Time in the queue", by, secondBounds, l.requests, l.first/4)
	e.histogram("vllm:request_prompt_tokens", "Tokens of one prompt", by, lengthBounds, l.requests, l.prompt)
	e.histogram("vllm:request_generation_tokens", "Tokens of one answer", by, lengthBounds, l.requests, l.generation)
}

// llamaCppMetrics are those of the server of llama.cpp, which have no labels.
func llamaCppMetrics(e *exposition, s server) {
	l := s.load
	prompts, generated := l.requests*l.prompt, l.requests*l.generation
	e.counter("llamacpp:prompt_tokens_total", "Tokens of prompts", "", prompts)
	e.counter("llamacpp:prompt_seconds_total", "Seconds spent on prompts", "", l.requests*l.first)
	e.counter("llamacpp:tokens_predicted_total", "Tokens generated", "", generated)
	e.counter("llamacpp:tokens_predicted_seconds_total", "Seconds spent on generation", "", generated*l.perToken)
	e.counter("llamacpp:n_decode_total", "Calls of the decoder", "", generated)
	e.gauge("llamacpp:n_busy_slots_per_decode", "Busy slots per call of the decoder", "", max(1, l.active()))
	e.gauge("llamacpp:prompt_tokens_seconds", "Prompt tokens per second", "", l.prompt/l.first)
	e.gauge("llamacpp:predicted_tokens_seconds", "Generated tokens per second", "", 1/l.perToken)
	e.gauge("llamacpp:kv_cache_usage_ratio", "Share of the KV cache in use, 0 to 1", "", l.cache())
	e.gauge("llamacpp:kv_cache_tokens", "Tokens in the KV cache", "", float64(int(l.cache()*65536)))
	e.gauge("llamacpp:requests_processing", "Requests being worked on", "", l.active())
	e.gauge("llamacpp:requests_deferred", "Requests in the queue", "", l.waiting())
}

// dynamoMetrics are those of Dynamo's frontend.
func dynamoMetrics(e *exposition, s server) {
	l, by := s.load, label("model", s.model.served)
	kind := by.with(label("endpoint", "chat_completions", "request_type", "stream"))
	e.family("dynamo_frontend_requests_total", "counter", "Requests, by how they ended")
	e.sample("dynamo_frontend_requests_total", kind.with(label("status", "success")), l.served())
	e.sample("dynamo_frontend_requests_total", kind.with(label("status", "error")), l.failed())
	e.gauge("dynamo_frontend_inflight_requests", "Requests being worked on", by, l.active())
	e.gauge("dynamo_frontend_queued_requests", "Requests in the queue", by, l.waiting())
	e.counter("dynamo_frontend_output_tokens_total", "Tokens generated", by, l.requests*l.generation)
	e.histogram("dynamo_frontend_request_duration_seconds", "Time of a whole request", by, secondBounds, l.requests, l.latency())
	e.histogram("dynamo_frontend_time_to_first_token_seconds", "Time to the first token", by, firstBounds, l.requests, l.first)
	e.histogram("dynamo_frontend_inter_token_latency_seconds", "Time between tokens", by, tokenBounds, l.requests*l.generation, l.perToken)
	e.histogram("dynamo_frontend_input_sequence_tokens", "Tokens of one prompt", by, lengthBounds, l.requests, l.prompt)
	e.histogram("dynamo_frontend_output_sequence_tokens", "Tokens of one answer", by, lengthBounds, l.requests, l.generation)
}

// rayMetrics are those that a Ray node exports about Ray Serve and itself. Ray
// serves vLLM's metrics through the same exporter, under names of its own.
func rayMetrics(e *exposition, s server) {
	l := s.load
	session := label("SessionName", "session_"+string(s.pod.UID), "NodeAddress", s.pod.Status.PodIP, "Version", "2.55.0")
	if s.ready {
		app := session.with(label("application", "llm_app"))
		http := app.with(label("route", "/v1/chat/completions", "method", "POST"))
		e.counter("ray_serve_num_http_requests_total", "Requests taken by the proxy", http.with(label("status_code", "200")), l.requests)
		e.counter("ray_serve_num_http_error_requests_total", "Requests that ended in an error", http.with(label("error_code", "500")), l.failed())
		e.gauge("ray_serve_num_ongoing_http_requests", "Requests in the proxy", session, l.active()+l.waiting())
		e.histogram("ray_serve_http_request_latency_ms", "Time of a whole request", http.with(label("status_code", "200")), msBounds, l.requests, 1000*l.latency())
		server := app.with(label("deployment", "LLMServer", "replica", shortID(s)))
		e.counter("ray_serve_deployment_request_counter_total", "Requests worked on by a replica", server, l.requests)
		e.counter("ray_serve_deployment_error_counter_total", "Requests that failed in a replica", server, l.failed())
		e.counter("ray_serve_deployment_replica_starts_total", "Starts of a replica", server, 1)
		e.histogram("ray_serve_deployment_processing_latency_ms", "Time in a replica", server, msBounds, l.requests, 1000*l.latency())
		e.gauge("ray_serve_replica_processing_queries", "Requests a replica works on", server, l.active())
		e.gauge("ray_serve_deployment_queued_queries", "Requests that wait for a replica", app.with(label("deployment", "LLMServer")), l.waiting())
		e.gauge("ray_vllm_num_requests_running", "Requests being worked on", app.with(label("model_name", s.model.served)), l.active())
		e.gauge("ray_vllm_kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", app.with(label("model_name", s.model.served)), l.cache())
	}
	e.gauge("ray_node_cpu_utilization", "Load of the CPUs in percent", session, 10+60*l.cache())
	e.gauge("ray_node_mem_used", "Memory in use, bytes", session, 6e9+8e9*l.cache())
}

// shortID is the name of the one replica on a node.
func shortID(s server) string { return strconv.FormatUint(hashOf(string(s.pod.UID))>>32, 36) }
