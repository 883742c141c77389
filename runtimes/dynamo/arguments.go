package dynamo

import (
	"encoding/json"
	"strconv"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// tensorParallel is the number of GPUs that a replica's model is split over.
func tensorParallel(c *api.DeploymentConfig, w worker) int {
	if c.TensorParallelSize > 0 {
		return c.TensorParallelSize
	}
	return max(w.amounts.GPU/max(c.PipelineParallelSize, 1), 1)
}

// parallel appends sizes that are not 1.
func parallel(a *runtimes.Arguments, c *api.DeploymentConfig, w worker, tensor, tensorShort, pipeline, pipelineShort string) {
	if n := tensorParallel(c, w); n > 1 {
		a.SetInt(tensor, n, tensorShort)
	}
	if c.PipelineParallelSize > 1 {
		a.SetInt(pipeline, c.PipelineParallelSize, pipelineShort)
	}
}

func decimal(f float64) string {
	if f == 0 {
		return ""
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func vllmArguments(a *runtimes.Arguments, c *api.DeploymentConfig, w worker) {
	a.Words("--model=" + c.ModelId)
	a.Set("served-model-name", c.ServedModelName)
	parallel(a, c, w, "tensor-parallel-size", "tp", "pipeline-parallel-size", "pp")
	a.SetInt("max-model-len", c.ContextLength)
	a.Set("gpu-memory-utilization", decimal(c.GpuMemoryUtilization))
	a.SetInt("max-num-seqs", c.MaxNumSeqs)
	a.Switch(c.EnforceEager, "enforce-eager", "")
	a.Switch(c.EnablePrefixCaching, "enable-prefix-caching", "no-enable-prefix-caching")
	a.Switch(c.EnableChunkedPrefill, "enable-chunked-prefill", "no-enable-chunked-prefill")
	a.Switch(&c.TrustRemoteCode, "trust-remote-code", "")
	if w.role != runtimes.RoleWorker {
		a.Set("disaggregation-mode", w.role)
		a.Set("kv-transfer-config", object(map[string]any{"kv_connector": "NixlConnector", "kv_role": "kv_both"}))
	}
	if c.RouterMode == "kv" && w.role != runtimes.RoleDecode {
		a.Set("kv-events-config", object(map[string]any{
			"enable_kv_cache_events": true, "publisher": "zmq", "topic": "kv-events", "endpoint": "tcp://*:20080",
		}))
	}
}

func sglangArguments(a *runtimes.Arguments, c *api.DeploymentConfig, w worker) {
	a.Words("--model-path=" + c.ModelId)
	a.Set("served-model-name", c.ServedModelName)
	parallel(a, c, w, "tp-size", "tensor-parallel-size", "pp-size", "pipeline-parallel-size")
	a.SetInt("context-length", c.ContextLength)
	a.Set("mem-fraction-static", decimal(c.GpuMemoryUtilization))
	a.SetInt("max-running-requests", c.MaxNumSeqs)
	a.Switch(c.EnforceEager, "disable-cuda-graph", "")
	a.Switch(c.EnablePrefixCaching, "", "disable-radix-cache")
	a.Switch(&c.TrustRemoteCode, "trust-remote-code", "")
	if w.role != runtimes.RoleWorker {
		a.Set("disaggregation-mode", w.role)
		a.Set("disaggregation-transfer-backend", "nixl")
		a.Set("disaggregation-bootstrap-port", "12345")
		a.Words("--host=0.0.0.0") // where the other role looks for it
	}
	if c.RouterMode == "kv" && w.role != runtimes.RoleDecode {
		a.Set("kv-events-config", object(map[string]any{"publisher": "zmq", "topic": "kv-events", "endpoint": "tcp://*:5557"}))
	}
}

// trtllmArguments: what TensorRT-LLM has no flag for goes into --override-engine-args, as an object.
func trtllmArguments(a *runtimes.Arguments, c *api.DeploymentConfig, w worker) {
	a.Words("--model-path=" + c.ModelId)
	a.Set("served-model-name", c.ServedModelName)
	parallel(a, c, w, "tensor-parallel-size", "", "pipeline-parallel-size", "")
	a.SetInt("max-seq-len", c.ContextLength)
	a.Set("free-gpu-memory-fraction", decimal(c.GpuMemoryUtilization))
	a.SetInt("max-batch-size", c.MaxNumSeqs)
	engine := map[string]any{}
	if c.EnforceEager != nil && *c.EnforceEager {
		engine["cuda_graph_config"] = nil
	}
	if c.EnablePrefixCaching != nil {
		engine["kv_cache_config"] = map[string]any{"enable_block_reuse": *c.EnablePrefixCaching}
	}
	if c.EnableChunkedPrefill != nil {
		engine["enable_chunked_prefill"] = *c.EnableChunkedPrefill
	}
	if c.TrustRemoteCode {
		engine["trust_remote_code"] = true
	}
	if w.role != runtimes.RoleWorker {
		a.Set("disaggregation-mode", w.role)
		engine["cache_transceiver_config"] = map[string]any{"backend": "DEFAULT"}
	}
	if w.role == runtimes.RolePrefill {
		engine["disable_overlap_scheduler"] = true // a worker that only prefills cannot have it
	}
	if len(engine) > 0 {
		a.Set("override-engine-args", object(engine))
	}
	if c.RouterMode == "kv" {
		on := true
		a.Switch(&on, "publish-events-and-metrics", "")
	}
}

// object is one argument that is JSON.
func object(m map[string]any) string {
	b, _ := json.Marshal(m) // texts, numbers and truth values
	return string(b)
}
