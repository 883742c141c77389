package metrics

import (
	"slices"
	"strings"
)

// ladder are the names of one figure. The first step that any server has counts, and of a step, in each server, the first name
// that it has. So what is told both by a frontend and by the engines behind it does not count twice, and servers of different
// versions count together.
type ladder [][]series

// series are those of a name that match, all where match is nil. Values are multiplied by scale, where it is not 0.
type series struct {
	name  string
	match func(labels map[string]string) bool
	scale float64
}

func names(all ...string) []series {
	step := make([]series, len(all))
	for i, name := range all {
		step[i].name = name
	}
	return step
}

// ratio is a share: part of whole.
type ratio struct{ part, whole series }

// Gauges.
var (
	running = ladder{
		names("dynamo_frontend_inflight_requests", "nv_llm_http_service_inflight_requests"),
		names("vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"),
		names("ray_serve_num_ongoing_http_requests"),
		names("ray_serve_replica_processing_queries"),
	}
	waiting = ladder{
		names("dynamo_frontend_queued_requests"),
		names("vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"),
		names("ray_serve_deployment_queued_queries"),
	}
	cache = ladder{
		names("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "trtllm_kv_cache_utilization", "llamacpp:kv_cache_usage_ratio"),
		names("dynamo_component_kvstats_gpu_cache_usage_percent"),
	}
	hitRate = ladder{names("vllm:gpu_prefix_cache_hit_rate", "sglang:cache_hit_rate", "trtllm_kv_cache_hit_rate")}
)

// Counters.
var (
	requests = ladder{
		names("dynamo_frontend_requests_total", "nv_llm_http_service_requests_total"),
		names("ray_serve_num_http_requests_total"),
		names("vllm:request_success_total", "vllm:e2e_request_latency_seconds_count", "sglang:num_requests_total", "trtllm_request_success_total"),
	}
	promptTokens = ladder{
		names("dynamo_frontend_input_sequence_tokens_sum"),
		names("vllm:prompt_tokens_total", "sglang:prompt_tokens_total", "llamacpp:prompt_tokens_total"),
	}
	generatedTokens = ladder{
		names("dynamo_frontend_output_tokens_total", "dynamo_frontend_output_sequence_tokens_sum"),
		names("vllm:generation_tokens_total", "sglang:generation_tokens_total", "llamacpp:tokens_predicted_total"),
	}
)

// Histograms.
var (
	firstToken = ladder{
		names("dynamo_frontend_time_to_first_token_seconds", "nv_llm_http_service_time_to_first_token_seconds"),
		names("vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds", "trtllm_time_to_first_token_seconds"),
	}
	betweenTokens = ladder{
		names("dynamo_frontend_inter_token_latency_seconds", "nv_llm_http_service_inter_token_latency_seconds"),
		names("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds",
			"sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds", "trtllm_time_per_output_token_seconds"),
	}
	latency = ladder{
		names("dynamo_frontend_request_duration_seconds", "nv_llm_http_service_request_duration_seconds"),
		{{name: "ray_serve_http_request_latency_ms", scale: 1e-3}},
		names("vllm:e2e_request_latency_seconds", "sglang:e2e_request_latency_seconds", "trtllm_e2e_request_latency_seconds"),
		{{name: "ray_serve_deployment_processing_latency_ms", scale: 1e-3}},
	}
)

// Shares, the first whose whole any server has.
var (
	errorRate = []ratio{
		{series{name: "dynamo_frontend_requests_total", match: is("status", "error")}, series{name: "dynamo_frontend_requests_total"}},
		{series{name: "ray_serve_num_http_error_requests_total"}, series{name: "ray_serve_num_http_requests_total"}},
		{series{name: "http_requests_total", match: failedInference}, series{name: "http_requests_total", match: inference}}, // vLLM's web server
	}
	hits = []ratio{
		{series{name: "vllm:prefix_cache_hits_total"}, series{name: "vllm:prefix_cache_queries_total"}},
		{series{name: "vllm:gpu_prefix_cache_hits_total"}, series{name: "vllm:gpu_prefix_cache_queries_total"}},
	}
)

func is(label, value string) func(map[string]string) bool {
	return func(labels map[string]string) bool { return labels[label] == value }
}

func inference(labels map[string]string) bool { return strings.HasPrefix(labels["handler"], "/v1/") }

func failedInference(labels map[string]string) bool {
	return inference(labels) && strings.HasPrefix(labels["status"], "5")
}

// counters are the names that increments are kept of.
var counters = func() map[string]bool {
	all := map[string]bool{}
	for _, l := range []ladder{requests, promptTokens, generatedTokens} {
		for _, step := range l {
			for _, s := range step {
				all[s.name] = true
			}
		}
	}
	for _, l := range []ladder{firstToken, betweenTokens, latency} {
		for _, step := range l {
			for _, s := range step {
				all[s.name+"_bucket"] = true
			}
		}
	}
	for _, r := range slices.Concat(errorRate, hits) {
		all[r.part.name], all[r.whole.name] = true, true
	}
	return all
}()
