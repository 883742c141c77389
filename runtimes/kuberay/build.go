package kuberay

import (
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// maxName is how long KubeRay lets the name of a RayService be.
const maxName = 47

// What the head and a worker get where nothing is said, the worker's for each GPU.
const (
	headCPU      = "2"
	headMemory   = "8Gi"
	workerCPU    = 4
	workerMemory = 16 << 30
)

// group is a group of workers that hold the model, one replica each.
type group struct {
	name, role         string
	replicas, min, max int
	automatic          bool // Ray's autoscaler decides
	amounts            runtimes.Amounts
}

// Build implements runtimes.Runtime.
func (r *Runtime) Build(c *api.DeploymentConfig) (runtimes.Manifests, []api.ErrorDetail) {
	if details := check(c); len(details) > 0 {
		return runtimes.Manifests{}, details
	}
	m := runtimes.Manifests{Primary: runtimes.NewManifest(r.info, c, nil)}
	all := groups(c)
	config, err := newServeConfig(c, all)
	if err != nil { // of our own structs and of what was JSON
		return m, []api.ErrorDetail{{Field: "engineArgs", Message: "cannot be written as YAML: " + err.Error()}}
	}
	workers, replicas, automatic := []any{}, 0, false
	for _, g := range all {
		workers = append(workers, workerGroup(c, g))
		replicas += max(g.replicas, g.max)
		automatic = automatic || g.automatic
		if g.amounts.GPU == 0 {
			m.Warnings = append(m.Warnings, "a replica of "+g.role+" asks for no GPU: the engine will find none")
		}
	}
	cluster := map[string]any{"headGroupSpec": headGroup(c), "workerGroupSpecs": workers}
	if picture(c) == runtimes.ImageRayLLM {
		cluster["rayVersion"] = runtimes.RayVersion
	}
	if automatic {
		cluster["enableInTreeAutoscaling"] = true
	}
	m.Primary.Object["spec"] = map[string]any{"serveConfigV2": config, "rayClusterConfig": cluster}
	m.AddClaim(r.info, c, replicas)
	m.Unused("it is a setting of other runtimes", map[string]bool{
		"routerMode": c.RouterMode != "" && c.RouterMode != "none", "instanceType": c.InstanceType != "",
		"labelSelector": len(c.LabelSelector) > 0, "maxModelLen": c.MaxModelLen != 0,
	})
	if runtimes.Disaggregated(c) {
		m.Unused("a disaggregated deployment has prefillReplicas and decodeReplicas", map[string]bool{"replicas": runtimes.Or(c.Replicas, 1) != 1})
	}
	return m, m.Finish(c)
}

// groups are those that the mode has.
func groups(c *api.DeploymentConfig) []group {
	of := func(name, role string, replicas, gpus, low, high *int) group {
		g := group{name: name, role: role, replicas: runtimes.Or(replicas, 1), automatic: low != nil || high != nil}
		g.amounts = runtimes.RoleAmounts(c, role, gpus, runtimes.Amounts{GPU: 1, CPU: c.WorkerCpu, Memory: c.WorkerMemory})
		if gpus := max(g.amounts.GPU, 1); g.amounts.CPU == "" {
			g.amounts.CPU = strconv.Itoa(workerCPU * gpus)
		}
		if gpus := max(g.amounts.GPU, 1); g.amounts.Memory == "" {
			g.amounts.Memory = resource.NewQuantity(int64(gpus)*workerMemory, resource.BinarySI).String()
		}
		g.min, g.max = g.replicas, g.replicas
		if g.automatic {
			g.min = runtimes.Or(low, min(1, runtimes.Or(high, 1)))
			g.max = runtimes.Or(high, max(g.min, g.replicas))
			if replicas == nil {
				g.replicas = g.min
			}
			g.replicas = min(max(g.replicas, g.min), g.max)
		}
		return g
	}
	if runtimes.Disaggregated(c) {
		return []group{
			of("prefill-group", runtimes.RolePrefill, c.PrefillReplicas, c.PrefillGpus, c.PrefillMinReplicas, c.PrefillMaxReplicas),
			of("decode-group", runtimes.RoleDecode, c.DecodeReplicas, c.DecodeGpus, c.DecodeMinReplicas, c.DecodeMaxReplicas),
		}
	}
	return []group{of("gpu-group", runtimes.RoleWorker, c.Replicas, nil, c.MinReplicas, c.MaxReplicas)}
}

func picture(c *api.DeploymentConfig) string {
	for _, image := range []string{c.Image, c.RayImage} {
		if image != "" {
			return image
		}
	}
	return runtimes.ImageRayLLM
}

func headGroup(c *api.DeploymentConfig) map[string]any {
	amounts := runtimes.Amounts{CPU: headCPU, Memory: headMemory}
	if c.HeadCpu != "" {
		amounts.CPU = c.HeadCpu
	}
	if c.HeadMemory != "" {
		amounts.Memory = c.HeadMemory
	}
	amounts = runtimes.RoleAmounts(&api.DeploymentConfig{RoleResources: c.RoleResources}, runtimes.RoleHead, nil, amounts)
	amounts.GPU = 0
	container := map[string]any{
		"name": "ray-head", "image": picture(c), "resources": amounts.Requests(true),
		"ports": []any{
			port("gcs-server", 6379), port("dashboard", 8265), port("client", 10001), port("serve", servePort),
		},
	}
	if env := runtimes.TokenEnv(c); len(env) > 0 {
		container["env"] = env
	}
	spec := map[string]any{"containers": []any{container}}
	runtimes.PodSpec(&api.DeploymentConfig{Tolerations: c.Tolerations, ImagePullSecrets: c.ImagePullSecrets}, spec, 0)
	return map[string]any{"rayStartParams": map[string]any{"num-gpus": "0"}, "template": template(c, spec)}
}

func port(name string, number int64) map[string]any {
	return map[string]any{"name": name, "containerPort": number}
}

func template(c *api.DeploymentConfig, spec map[string]any) map[string]any {
	t := map[string]any{"spec": spec}
	if metadata := runtimes.PodMetadata(c); metadata != nil {
		t["metadata"] = metadata
	}
	return t
}

func workerGroup(c *api.DeploymentConfig, g group) map[string]any {
	// Ray takes the amounts of a node from the limits of its container.
	container := map[string]any{"name": "ray-worker", "image": picture(c), "resources": g.amounts.Requests(true)}
	if env := runtimes.ContainerEnv(c); len(env) > 0 {
		container["env"] = env
	}
	spec := map[string]any{"containers": []any{container}}
	runtimes.PodSpec(c, spec, g.amounts.GPU)
	runtimes.Mount(c, spec, container)
	params := map[string]any{}
	if g.role != runtimes.RoleWorker {
		// KubeRay puts the value into a shell's command line, so it comes with the shell's quotes.
		params["resources"] = `"{\"` + nodeResource(g.role) + `\": 1}"`
	}
	return map[string]any{
		"groupName": g.name, "replicas": int64(g.replicas), "minReplicas": int64(g.min), "maxReplicas": int64(g.max),
		"rayStartParams": params, "template": template(c, spec),
	}
}

// nodeResource is what a worker of a role offers in Ray, so that replicas of that role are put there.
func nodeResource(role string) string { return role + "_node" }

func check(c *api.DeploymentConfig) []api.ErrorDetail {
	var k runtimes.Check
	k.Require("modelId", c.ModelId, "")
	k.OneOf("engine", c.Engine, string(api.EngineVllm))
	k.Image("rayImage", c.RayImage)
	for field, value := range map[string]string{
		"headCpu": c.HeadCpu, "headMemory": c.HeadMemory, "workerCpu": c.WorkerCpu, "workerMemory": c.WorkerMemory,
	} {
		k.Quantity(field, value)
	}
	if n := c.GpuMemoryUtilization; n != 0 && (n < 0.1 || n > 1) {
		k.Refuse("gpuMemoryUtilization", "must be from 0.1 to 1")
	}
	k.OneOf("kvConnector", c.KvConnector, "NixlConnector", "SimpleConnector")
	k.Text("acceleratorType", c.AcceleratorType, 64)
	if len(c.ExtraArgs) > 0 {
		k.Refuse("extraArgs", "must be left out: Ray's engine has no command line; engineArgs are its settings")
	}
	limits := func(low, high *int, lowField, highField string) {
		k.Range(lowField, low, 0, 1000)
		k.Range(highField, high, 1, 1000)
		if low != nil && high != nil && *low > *high {
			k.Refuse(lowField, "must not be more than %s", highField)
		}
	}
	limits(c.MinReplicas, c.MaxReplicas, "minReplicas", "maxReplicas")
	limits(c.PrefillMinReplicas, c.PrefillMaxReplicas, "prefillMinReplicas", "prefillMaxReplicas")
	limits(c.DecodeMinReplicas, c.DecodeMaxReplicas, "decodeMinReplicas", "decodeMaxReplicas")
	roles := []string{runtimes.RoleWorker, runtimes.RoleHead}
	if runtimes.Disaggregated(c) {
		roles = []string{runtimes.RolePrefill, runtimes.RoleDecode, runtimes.RoleHead}
	}
	k.Common(c, maxName, roles...)
	if len(k.Details) == 0 {
		for _, g := range groups(c) {
			if n := max(c.TensorParallelSize, 1) * max(c.PipelineParallelSize, 1); n > max(g.amounts.GPU, 1) {
				k.Refuse("tensorParallelSize", "times pipelineParallelSize is %d, and a replica of %s has %d GPUs", n, g.role, g.amounts.GPU)
			}
		}
	}
	return k.Details
}
