package modelserver

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// script is how one kind of server talks.
type script struct {
	// start is what it says while it starts, spread over that time.
	start func(r run) []string
	// ready is what it says when it is.
	ready func(r run) []string
	// request is the line of one request, or empty.
	request func(r run, at time.Time, chance *rand.Rand) string
	// pulse is what it says every ten seconds.
	pulse func(r run, at time.Time, l load) []string
	// death is what it says when it dies of an error.
	death func(r run) []string
}

// scriptOf is the script of a kind of server.
func scriptOf(k kind) script {
	switch k {
	case vllm:
		return script{vllmStart, vllmReady, accessLog, vllmPulse, pythonDeath}
	case dynamoWorker:
		return script{vllmStart, workerReady, noRequest, vllmPulse, pythonDeath}
	case dynamoFrontend:
		return script{frontendStart, frontendReady, frontendRequest, noPulse, pythonDeath}
	case rayHead:
		return script{rayHeadStart, rayReady, rayRequest, noPulse, pythonDeath}
	case rayWorker:
		return script{rayWorkerStart, rayReady, rayRequest, vllmPulse, pythonDeath}
	case llamaCpp:
		return script{llamaStart, llamaReady, llamaRequest, noPulse, llamaDeath}
	default:
		return script{controllerStart, controllerReady, noRequest, controllerPulse, pythonDeath}
	}
}

func noRequest(run, time.Time, *rand.Rand) string { return "" }

func noPulse(run, time.Time, load) []string { return nil }

// clock is the time as Python's loggers of these servers print it.
func clock(at time.Time) string { return at.UTC().Format("01-02 15:04:05") }

func vllmStart(r run) []string {
	lines := []string{
		"INFO [api_server.py] vLLM API server version 0.11.0",
		fmt.Sprintf("INFO [utils.py] arguments: model=%q served_model_name=%q", r.model.id, r.model.served),
		fmt.Sprintf("INFO [config.py] model %s: dtype bfloat16, max_model_len from the model's config", r.model.id),
		"INFO [core.py] V1 engine starts, KV cache in blocks of 16 tokens",
		"INFO [parallel_state.py] rank 0 of world size 1 uses backend nccl",
		fmt.Sprintf("INFO [weight_utils.py] loading weights of %s", r.model.id),
	}
	const shards = 10
	for i := 1; i <= shards; i++ {
		lines = append(lines, fmt.Sprintf("Loading safetensors checkpoint shards: %3d%% completed | %d/%d", 100*i/shards, i, shards))
	}
	return append(lines,
		"INFO [gpu_model_runner.py] weights take 14.99 GiB",
		"INFO [kv_cache_utils.py] room for 214,560 tokens in the KV cache",
		"INFO [gpu_model_runner.py] capturing CUDA graphs")
}

func vllmReady(run) []string {
	return []string{
		"INFO [launcher.py] Available routes: /health, /metrics, /v1/models, /v1/chat/completions, /v1/completions",
		"INFO:     Application startup complete.",
		"INFO:     Uvicorn running on http://0.0.0.0:8000",
	}
}

func workerReady(r run) []string {
	return []string{fmt.Sprintf("INFO dynamo: registered %s with the frontend", r.model.served)}
}

// accessLog is a request as uvicorn logs it.
func accessLog(_ run, _ time.Time, chance *rand.Rand) string {
	status := "200 OK"
	if chance.IntN(200) == 0 {
		status = "400 Bad Request"
	}
	return fmt.Sprintf(`INFO:     %s:%d - "POST %s HTTP/1.1" %s`, caller(chance), 30000+chance.IntN(30000), path(chance), status)
}

func caller(chance *rand.Rand) string {
	return fmt.Sprintf("10.64.%d.%d", chance.IntN(4), 1+chance.IntN(250))
}

func path(chance *rand.Rand) string {
	if chance.IntN(4) == 0 {
		return "/v1/completions"
	}
	return "/v1/chat/completions"
}

func vllmPulse(_ run, at time.Time, l load) []string {
	return []string{fmt.Sprintf(
		"INFO %s [loggers.py] Engine 000: prompt throughput %.1f tokens/s, generation throughput %.1f tokens/s, running %d reqs, waiting %d reqs, KV cache usage %.1f%%, prefix cache hit rate %.1f%%",
		clock(at), l.rate*l.prompt, l.rate*l.generation, int(l.active()), int(l.waiting()), 100*l.cache(), 100*l.hits)}
}

func frontendStart(run) []string {
	return []string{
		"INFO dynamo.frontend: HTTP service listens on 0.0.0.0:8000",
		"INFO dynamo.frontend: watching for models",
	}
}

func frontendReady(r run) []string {
	if r.model.served == "" {
		return []string{"INFO dynamo.frontend: no model yet"}
	}
	return []string{fmt.Sprintf("INFO dynamo.frontend: model %s added, endpoints chat and completions", r.model.served)}
}

func frontendRequest(r run, at time.Time, chance *rand.Rand) string {
	return fmt.Sprintf("%s  INFO http-request: method=POST uri=%s status=200 model=%s request_id=%08x latency_ms=%d",
		at.UTC().Format(time.RFC3339Nano), path(chance), r.model.served, chance.Uint32(), 300+chance.IntN(5000))
}

func rayHeadStart(r run) []string {
	return []string{
		"INFO usage_lib.py -- usage statistics are off",
		fmt.Sprintf("INFO scripts.py -- Local node IP: %s", r.pod.Status.PodIP),
		"SUCC scripts.py -- Ray runtime started.",
		"INFO scripts.py -- dashboard at 0.0.0.0:8265",
	}
}

func rayWorkerStart(r run) []string {
	lines := []string{
		fmt.Sprintf("INFO scripts.py -- Local node IP: %s", r.pod.Status.PodIP),
		"SUCC scripts.py -- Ray runtime started.",
	}
	return append(lines, vllmStart(r)...)
}

func rayReady(run) []string {
	return []string{
		"INFO serve -- proxy listens on port 8000",
		"INFO serve -- application llm_app is ready at http://0.0.0.0:8000/",
	}
}

func rayRequest(_ run, at time.Time, chance *rand.Rand) string {
	return fmt.Sprintf("INFO %s llm_app_OpenAiIngress -- POST %s 200 %.1fms", clock(at), path(chance), 300+5000*chance.Float64())
}

func llamaStart(r run) []string {
	return []string{
		"build: 6700 with gcc for x86_64-linux-gnu",
		"system info: n_threads = 8, n_threads_batch = 8",
		fmt.Sprintf("srv    load_model: loading model '/models/%s'", r.model.id),
		"llama_model_loader: loaded meta data with 31 key-value pairs",
		"load_tensors: CPU model buffer size = 2048.00 MiB",
		"llama_context: n_ctx = 8192",
		"main: model loaded",
	}
}

func llamaReady(run) []string {
	return []string{"main: server is listening on http://0.0.0.0:5000", "srv  update_slots: all slots are idle"}
}

func llamaRequest(_ run, _ time.Time, chance *rand.Rand) string {
	return fmt.Sprintf("srv  log_server_r: request: POST %s %s 200", path(chance), caller(chance))
}

func controllerStart(r run) []string {
	return []string{fmt.Sprintf(`{"level":"info","msg":"starting","controller":%q}`, r.pod.Spec.Containers[0].Name)}
}

func controllerReady(run) []string {
	return []string{`{"level":"info","msg":"leader election won"}`, `{"level":"info","msg":"workers started","count":8}`}
}

func controllerPulse(_ run, at time.Time, _ load) []string {
	if at.Unix()/10%6 != 0 {
		return nil
	}
	return []string{fmt.Sprintf(`{"level":"info","ts":%q,"msg":"reconciled"}`, at.UTC().Format(time.RFC3339))}
}

// pythonDeath is a traceback. A container that was killed for its memory says
// nothing about it: the kernel did it.
func pythonDeath(r run) []string {
	if r.oom {
		return nil
	}
	return []string{
		"ERROR [core.py] the engine did not start",
		"Traceback (most recent call last):",
		`  File "/opt/engine/core.py", line 512, in run`,
		"    self.executor = Executor(config)",
		`  File "/opt/engine/worker.py", line 187, in load_model`,
		"    self.weights = allocate(shapes, device)",
		"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 14.00 GiB. GPU 0 has 79.15 GiB, of which 2.13 GiB is free.",
		fmt.Sprintf("RuntimeError: engine for %s could not be initialised, see above", r.model.id),
	}
}

func llamaDeath(r run) []string {
	if r.oom {
		return nil
	}
	return []string{
		"llama_model_load: error loading model: tensor 'blk.27.ffn_down.weight' is not within the file bounds, the file is truncated",
		fmt.Sprintf("srv    load_model: failed to load model '/models/%s'", r.model.id),
		"main: exiting due to model loading error",
	}
}
