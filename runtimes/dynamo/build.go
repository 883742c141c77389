package dynamo

import (
	"strconv"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// maxName leaves room for what the operator appends to name a component's objects, and for what Kubernetes then appends to
// those.
const maxName = 40

// backend is what differs between the engines.
type backend struct {
	image, folder string
	component     string // how its workers are called
	arguments     func(a *runtimes.Arguments, c *api.DeploymentConfig, w worker)
}

// worker is one component that holds the model.
type worker struct {
	role     string // worker, prefill, decode
	replicas int
	amounts  runtimes.Amounts
}

var backends = map[api.Engine]backend{
	api.EngineVllm:   {runtimes.ImageDynamoVLLM, "vllm", "Vllm", vllmArguments},
	api.EngineSglang: {runtimes.ImageDynamoSGLang, "sglang", "Sglang", sglangArguments},
	api.EngineTrtllm: {runtimes.ImageDynamoTRTLLM, "trtllm", "Trtllm", trtllmArguments},
}

// Build implements runtimes.Runtime. Programs are started without a shell: what users give is an argument.
func (r *Runtime) Build(c *api.DeploymentConfig) (runtimes.Manifests, []api.ErrorDetail) {
	if details := check(c); len(details) > 0 {
		return runtimes.Manifests{}, details
	}
	b := backends[api.Engine(c.Engine)]
	services := map[string]any{"Frontend": frontend(c, b)}
	replicas := 0
	m := runtimes.Manifests{Primary: runtimes.NewManifest(r.info, c, nil)}
	for _, w := range workers(c) {
		services[b.component+componentName[w.role]] = workerService(c, b, w)
		replicas += w.replicas
		if w.amounts.GPU == 0 {
			m.Warnings = append(m.Warnings, "a replica of "+w.role+" asks for no GPU: the engine will find none")
		}
	}
	spec := map[string]any{"backendFramework": c.Engine, "services": services}
	if c.Storage != nil {
		claim := map[string]any{"name": runtimes.ClaimName(c), "create": c.Storage.Claim == ""}
		if c.Storage.Claim == "" {
			claim["size"], claim["volumeAccessMode"] = c.Storage.Size, runtimes.AccessMode(c)
			if c.Storage.StorageClass != "" {
				claim["storageClass"] = c.Storage.StorageClass
			}
		}
		spec["pvcs"] = []any{claim}
		m.WarnOfStorage(c, replicas)
	}
	m.Primary.Object["spec"] = spec
	warn(&m, c)
	return m, m.Finish(c)
}

var componentName = map[string]string{
	runtimes.RoleWorker: "Worker", runtimes.RolePrefill: "PrefillWorker", runtimes.RoleDecode: "DecodeWorker",
}

func workers(c *api.DeploymentConfig) []worker {
	of := func(role string, replicas, gpus *int) worker {
		return worker{role, runtimes.Or(replicas, 1), runtimes.RoleAmounts(c, role, gpus, runtimes.Amounts{GPU: 1})}
	}
	if runtimes.Disaggregated(c) {
		return []worker{
			of(runtimes.RolePrefill, c.PrefillReplicas, c.PrefillGpus), of(runtimes.RoleDecode, c.DecodeReplicas, c.DecodeGpus),
		}
	}
	return []worker{of(runtimes.RoleWorker, c.Replicas, nil)}
}

func frontend(c *api.DeploymentConfig, b backend) map[string]any {
	envs := runtimes.TokenEnv(c) // it reads the model's tokenizer
	switch mode := c.RouterMode; {
	case mode == "kv" || mode == "round-robin":
		envs = append(envs, map[string]any{"name": "DYN_ROUTER_MODE", "value": mode})
	case runtimes.Disaggregated(c):
		envs = append(envs, map[string]any{"name": "DYN_ROUTER_MODE", "value": "round-robin"})
	}
	service := newService(c, b, "frontend", 1, runtimes.RoleAmounts(
		&api.DeploymentConfig{RoleResources: c.RoleResources}, runtimes.RoleFrontend, nil, runtimes.Amounts{}))
	if len(envs) > 0 {
		service["envs"] = envs
	}
	return service
}

func workerService(c *api.DeploymentConfig, b backend, w worker) map[string]any {
	service := newService(c, b, "worker", w.replicas, w.amounts)
	if w.role != runtimes.RoleWorker {
		service["subComponentType"] = w.role
	}
	if envs := runtimes.ContainerEnv(c); len(envs) > 0 {
		service["envs"] = envs
	}
	if c.Storage != nil {
		service["volumeMounts"] = []any{map[string]any{"name": runtimes.ClaimName(c), "mountPoint": runtimes.MountPath(c)}}
	}
	pod, _ := service["extraPodSpec"].(map[string]any)
	main, _ := pod["mainContainer"].(map[string]any)
	main["command"] = []any{"python3", "-m", "dynamo." + b.folder}
	a := runtimes.NewArguments(c)
	b.arguments(a, c, w)
	main["args"] = a.Finish(c)
	runtimes.PodSpec(c, pod, w.amounts.GPU)
	return service
}

func newService(c *api.DeploymentConfig, b backend, kind string, replicas int, amounts runtimes.Amounts) map[string]any {
	pod := map[string]any{"mainContainer": map[string]any{
		"image": or(c.Image, b.image), "workingDir": "/workspace/examples/backends/" + b.folder,
	}}
	runtimes.PodSpec(&api.DeploymentConfig{Tolerations: c.Tolerations, ImagePullSecrets: c.ImagePullSecrets}, pod, amounts.GPU)
	service := map[string]any{
		"componentType": kind, "dynamoNamespace": c.Name, "replicas": int64(replicas), "extraPodSpec": pod,
	}
	if metadata := runtimes.PodMetadata(c); metadata != nil {
		service["extraPodMetadata"] = metadata
	}
	if resources := resources(amounts); len(resources) > 0 {
		service["resources"] = resources
	}
	return service
}

// resources are Dynamo's own, in which a GPU is called gpu and every amount is text.
func resources(a runtimes.Amounts) map[string]any {
	requests := map[string]any{}
	for name, value := range map[string]string{"cpu": a.CPU, "memory": a.Memory} {
		if value != "" {
			requests[name] = value
		}
	}
	all := map[string]any{}
	if a.GPU > 0 {
		requests["gpu"] = strconv.Itoa(a.GPU)
		all["limits"] = map[string]any{"gpu": strconv.Itoa(a.GPU)}
	}
	if len(requests) > 0 {
		all["requests"] = requests
	}
	return all
}

func warn(m *runtimes.Manifests, c *api.DeploymentConfig) {
	m.Unused("it is a setting of other runtimes", map[string]bool{
		"acceleratorType": c.AcceleratorType != "", "minReplicas": c.MinReplicas != nil, "maxReplicas": c.MaxReplicas != nil,
		"instanceType": c.InstanceType != "", "labelSelector": len(c.LabelSelector) > 0, "maxModelLen": c.MaxModelLen != 0,
	})
	if runtimes.Disaggregated(c) {
		m.Unused("a disaggregated deployment has prefillReplicas and decodeReplicas", map[string]bool{"replicas": runtimes.Or(c.Replicas, 1) != 1})
	}
}

func check(c *api.DeploymentConfig) []api.ErrorDetail {
	var k runtimes.Check
	k.Require("modelId", c.ModelId, "")
	k.Require("engine", c.Engine, "")
	k.OneOf("engine", c.Engine, string(api.EngineVllm), string(api.EngineSglang), string(api.EngineTrtllm))
	k.OneOf("routerMode", c.RouterMode, "none", "default", "kv", "round-robin")
	if n := c.GpuMemoryUtilization; n != 0 && (n < 0.1 || n > 1) {
		k.Refuse("gpuMemoryUtilization", "must be from 0.1 to 1")
	}
	roles := []string{runtimes.RoleWorker, runtimes.RoleFrontend}
	if runtimes.Disaggregated(c) {
		roles = []string{runtimes.RolePrefill, runtimes.RoleDecode, runtimes.RoleFrontend}
	}
	k.Common(c, maxName, roles...)
	if len(k.Details) == 0 {
		for _, w := range workers(c) {
			checkParallel(&k, c, w)
		}
	}
	return k.Details
}

// checkParallel: what a model is split over has to be there.
func checkParallel(k *runtimes.Check, c *api.DeploymentConfig, w worker) {
	if n := max(c.TensorParallelSize, 1) * max(c.PipelineParallelSize, 1); n > max(w.amounts.GPU, 1) {
		k.Refuse("tensorParallelSize", "times pipelineParallelSize is %d, and a replica of %s has %d GPUs", n, w.role, w.amounts.GPU)
	}
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
