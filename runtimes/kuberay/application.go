package kuberay

import (
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// The parts of serveConfigV2 that KubeFoundry writes, as Ray Serve LLM names them.
type (
	serveApplications struct {
		Applications []serveApplication `json:"applications"`
	}
	serveApplication struct {
		Name        string    `json:"name"`
		ImportPath  string    `json:"import_path"`
		RoutePrefix string    `json:"route_prefix"`
		Args        serveArgs `json:"args"`
	}
	serveArgs struct {
		LLMConfigs []llmConfig `json:"llm_configs,omitempty"`
		Prefill    *llmConfig  `json:"prefill_config,omitempty"`
		Decode     *llmConfig  `json:"decode_config,omitempty"`
	}
	llmConfig struct {
		Loading     modelLoading     `json:"model_loading_config"`
		Accelerator string           `json:"accelerator_type,omitempty"`
		Deployment  deploymentConfig `json:"deployment_config"`
		Engine      map[string]any   `json:"engine_kwargs"`
	}
	modelLoading struct {
		ID     string `json:"model_id"`
		Source string `json:"model_source"`
	}
	deploymentConfig struct {
		Autoscaling autoscaling   `json:"autoscaling_config"`
		Actor       *actorOptions `json:"ray_actor_options,omitempty"`
	}
	autoscaling struct {
		Min int `json:"min_replicas"`
		Max int `json:"max_replicas"` // at least 1
	}
	actorOptions struct {
		Resources map[string]float64 `json:"resources"`
	}
)

// newServeConfig is what Ray serves, as YAML.
func newServeConfig(c *api.DeploymentConfig, all []group) (string, error) {
	app := serveApplication{Name: "llm_app", ImportPath: "ray.serve.llm:build_openai_app", RoutePrefix: "/"}
	if runtimes.Disaggregated(c) {
		app.Name, app.ImportPath = "pd-disaggregation", "ray.serve.llm:build_pd_openai_app"
	}
	for _, g := range all {
		model := newLLMConfig(c, g)
		switch g.role {
		case runtimes.RolePrefill:
			app.Args.Prefill = &model
		case runtimes.RoleDecode:
			app.Args.Decode = &model
		default:
			app.Args.LLMConfigs = append(app.Args.LLMConfigs, model)
		}
	}
	return marshal(serveApplications{[]serveApplication{app}})
}

func newLLMConfig(c *api.DeploymentConfig, g group) llmConfig {
	served := c.ServedModelName
	if served == "" {
		served = c.ModelId
	}
	model := llmConfig{
		Loading:     modelLoading{ID: served, Source: c.ModelId},
		Accelerator: c.AcceleratorType,
		Deployment:  deploymentConfig{Autoscaling: autoscaling{Min: g.min, Max: max(g.max, 1)}},
		Engine:      engine(c, g),
	}
	if g.role != runtimes.RoleWorker {
		model.Deployment.Actor = &actorOptions{map[string]float64{nodeResource(g.role): 1}}
	}
	return model
}

// engine are vLLM's settings; those that are left out are vLLM's own.
func engine(c *api.DeploymentConfig, g group) map[string]any {
	e := map[string]any{}
	number := func(name string, n int) {
		if n > 0 {
			e[name] = n
		}
	}
	truth := func(name string, is *bool) {
		if is != nil {
			e[name] = *is
		}
	}
	parallel := c.TensorParallelSize
	if parallel == 0 {
		parallel = max(g.amounts.GPU/max(c.PipelineParallelSize, 1), 1)
	}
	number("tensor_parallel_size", parallel)
	number("pipeline_parallel_size", c.PipelineParallelSize)
	number("max_model_len", c.ContextLength)
	number("max_num_seqs", c.MaxNumSeqs)
	if c.GpuMemoryUtilization > 0 {
		e["gpu_memory_utilization"] = c.GpuMemoryUtilization
	}
	truth("enforce_eager", c.EnforceEager)
	truth("enable_prefix_caching", c.EnablePrefixCaching)
	truth("enable_chunked_prefill", c.EnableChunkedPrefill)
	if c.TrustRemoteCode {
		e["trust_remote_code"] = true
	}
	if g.role != runtimes.RoleWorker {
		e["kv_transfer_config"] = kvTransfer(c, g.role)
	}
	for name, value := range c.EngineArgs {
		if value != nil {
			e[strings.ReplaceAll(name, "-", "_")] = value
		}
	}
	return e
}

// kvTransfer is how the caches of prompts get from one role to the other. NIXL does not tell the roles apart.
func kvTransfer(c *api.DeploymentConfig, role string) map[string]any {
	if c.KvConnector == "SimpleConnector" {
		side := map[string]string{runtimes.RolePrefill: "kv_producer", runtimes.RoleDecode: "kv_consumer"}[role]
		return map[string]any{"kv_connector": c.KvConnector, "kv_role": side}
	}
	return map[string]any{"kv_connector": "NixlConnector", "kv_role": "kv_both"}
}
