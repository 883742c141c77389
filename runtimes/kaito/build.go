package kaito

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// Where a model comes from, as configurations and labels have it.
const (
	sourcePremade     = "premade"
	sourceHuggingFace = "huggingface"
	sourceVLLM        = "vllm"

	runDirect = "direct"
	runBuild  = "build"

	computeCPU = "cpu"
	computeGPU = "gpu"
)

// Labels that KubeFoundry puts on the Workspaces it makes.
const (
	labelModelSource = "kubefoundry.io/model-source"
	labelRunMode     = "kubefoundry.io/run-mode"
	labelComputeType = "kubefoundry.io/compute-type"
	labelServiceType = "kubefoundry.io/service-type"
)

// maxName leaves room for what Kubernetes appends to the names of a StatefulSet's pods and puts into their labels.
const maxName = 52

const (
	llamaPort = 5000
	vllmPort  = 8000
)

// Build implements runtimes.Runtime.
func (r *Runtime) Build(c *api.DeploymentConfig) (runtimes.Manifests, []api.ErrorDetail) {
	if details := check(c); len(details) > 0 {
		return runtimes.Manifests{}, details
	}
	amounts := runtimes.RoleAmounts(c, runtimes.RoleWorker, nil, runtimes.Amounts{GPU: 1})
	compute := computeGPU
	if c.ModelSource != sourceVLLM && c.ComputeType != computeGPU {
		compute, amounts.GPU = computeCPU, 0
	}
	labels := map[string]string{labelModelSource: c.ModelSource, labelComputeType: compute}
	if c.ModelSource == sourceHuggingFace {
		labels[labelRunMode] = runMode(c)
	}
	m := runtimes.Manifests{Primary: runtimes.NewManifest(r.info, c, labels)}

	spec := map[string]any{}
	container := modelContainer(c, amounts)
	if c.ModelSource == sourceVLLM {
		spec["volumes"] = []any{map[string]any{"name": "dshm", "emptyDir": map[string]any{"medium": "Memory"}}}
		container["volumeMounts"] = []any{map[string]any{"name": "dshm", "mountPath": "/dev/shm"}}
	}
	runtimes.PodSpec(c, spec, amounts.GPU)
	runtimes.Mount(c, spec, container)
	spec["containers"] = []any{container}
	template := map[string]any{"spec": spec}
	if metadata := runtimes.PodMetadata(c); metadata != nil {
		template["metadata"] = metadata
	}
	replicas := runtimes.Or(c.Replicas, 1)
	resource := map[string]any{
		"count":         int64(replicas),
		"labelSelector": map[string]any{"matchLabels": runtimes.StringMap(nodeLabels(c, compute))},
	}
	if c.InstanceType != "" {
		resource["instanceType"] = c.InstanceType
	}
	m.Primary.Object["resource"] = resource
	m.Primary.Object["inference"] = map[string]any{"template": template}
	if model := modelInImage(c); model != "" {
		annotations := m.Primary.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[runtimes.AnnotationModel] = model
		m.Primary.SetAnnotations(annotations)
	}

	if c.ModelSource == sourceVLLM {
		m.Companions = append(m.Companions, r.service(c))
	}
	m.AddClaim(r.info, c, replicas)
	r.warn(&m, c, compute, amounts)
	return m, m.Finish(c)
}

func (r *Runtime) warn(m *runtimes.Manifests, c *api.DeploymentConfig, compute string, amounts runtimes.Amounts) {
	if compute == computeCPU && c.Resources != nil && runtimes.Or(c.Resources.Gpu, 0) > 0 {
		m.Warnings = append(m.Warnings, "resources.gpu has no effect: computeType is cpu")
	}
	if compute == computeGPU && amounts.GPU == 0 {
		m.Warnings = append(m.Warnings, "resources.gpu is 0: the engine will find no GPU")
	}
	m.Unused("KAITO decides it by modelSource, or passes it in engineArgs", map[string]bool{
		"enforceEager": c.EnforceEager != nil && *c.EnforceEager, "enablePrefixCaching": c.EnablePrefixCaching != nil && *c.EnablePrefixCaching,
		"routerMode": c.RouterMode != "" && c.RouterMode != "none", "acceleratorType": c.AcceleratorType != "",
	})
	if c.ModelSource == sourceVLLM {
		return
	}
	m.Unused("llama.cpp's server in AIKit images takes it from the image", map[string]bool{
		"servedModelName": c.ServedModelName != "", "contextLength": c.ContextLength != 0, "maxModelLen": c.MaxModelLen != 0,
		"trustRemoteCode": c.TrustRemoteCode, "tensorParallelSize": c.TensorParallelSize != 0,
	})
	if c.Storage != nil && c.ModelSource+runMode(c) != sourceHuggingFace+runDirect {
		m.Warnings = append(m.Warnings, "storage keeps nothing: the model is in the image")
	}
}

func runMode(c *api.DeploymentConfig) string {
	switch {
	case c.ModelSource != sourceHuggingFace:
		return ""
	case c.GgufRunMode == "":
		return runDirect
	}
	return c.GgufRunMode
}

// modelInImage is the model that an image has in it, where its name does not tell.
func modelInImage(c *api.DeploymentConfig) string {
	switch {
	case runMode(c) == runBuild:
		return c.ModelId + "/" + c.GgufFile
	case c.ModelSource == sourcePremade && c.Image != "":
		id, _ := aikitPremade(c.PremadeModel)
		return aikitNames[id]
	}
	return ""
}

// nodeLabels are those by which KAITO finds the nodes.
func nodeLabels(c *api.DeploymentConfig, compute string) map[string]string {
	labels := map[string]string{"kubernetes.io/os": "linux"}
	if compute == computeGPU && c.InstanceType == "" { // nodes that KAITO is to provision have no such label yet
		labels = map[string]string{"nvidia.com/gpu.present": "true"}
	}
	if len(c.LabelSelector) > 0 {
		labels = map[string]string{}
	}
	for _, more := range []map[string]string{c.LabelSelector, c.NodeSelector} {
		maps.Copy(labels, more)
	}
	return labels
}

func modelContainer(c *api.DeploymentConfig, amounts runtimes.Amounts) map[string]any {
	container := map[string]any{"name": "model"}
	port := llamaPort
	switch {
	case c.ModelSource == sourceVLLM:
		port = vllmPort
		container["image"] = or(c.Image, runtimes.ImageKaitoVLLM)
		container["command"] = []any{"python3"}
		container["args"] = vllmArguments(c, amounts.GPU)
		vllmProbes(container)
	case c.ModelSource == sourcePremade:
		model, _ := aikitPremade(c.PremadeModel)
		container["image"] = or(c.Image, aikitRepository+model)
		container["args"] = llamaArguments(c, "run")
	case runMode(c) == runBuild:
		container["image"] = or(c.Image, or(c.ImageRef, buildImage(c)))
		container["args"] = llamaArguments(c, "run")
	default:
		container["image"] = or(c.Image, runtimes.ImageAIKitRunner)
		container["args"] = llamaArguments(c, "huggingface://"+c.ModelId+"/"+c.GgufFile)
	}
	container["ports"] = []any{map[string]any{"containerPort": int64(port), "protocol": "TCP"}}
	if env := runtimes.ContainerEnv(c); len(env) > 0 {
		container["env"] = env
	}
	if resources := amounts.Requests(false); len(resources) > 0 {
		container["resources"] = resources
	}
	return container
}

func llamaArguments(c *api.DeploymentConfig, first string) []any {
	a := runtimes.NewArguments(c)
	a.Words(first, "--address=:5000")
	return a.Finish(c)
}

func vllmArguments(c *api.DeploymentConfig, gpus int) []any {
	a := runtimes.NewArguments(c)
	a.Words("-m", "vllm.entrypoints.openai.api_server", "--model="+c.ModelId)
	a.Set("served-model-name", c.ServedModelName)
	parallel := c.TensorParallelSize
	if parallel == 0 {
		parallel = gpus / max(c.PipelineParallelSize, 1)
	}
	if parallel > 1 || c.TensorParallelSize > 0 {
		a.SetInt("tensor-parallel-size", parallel, "tp")
	}
	a.SetInt("pipeline-parallel-size", c.PipelineParallelSize, "pp")
	length := c.MaxModelLen
	if length == 0 {
		length = c.ContextLength
	}
	a.SetInt("max-model-len", length)
	a.Switch(&c.TrustRemoteCode, "trust-remote-code", "")
	return a.Finish(c)
}

// vllmProbes give a model an hour to be downloaded and loaded, after which it has to answer.
func vllmProbes(container map[string]any) {
	probe := func(period, failures int64) map[string]any {
		return map[string]any{
			"httpGet":       map[string]any{"path": "/health", "port": int64(vllmPort)},
			"periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": int64(5),
		}
	}
	container["startupProbe"] = probe(10, 360)
	container["livenessProbe"] = probe(10, 6)
	container["readinessProbe"] = probe(10, 3)
}

// service leads to the vLLM of a template: KAITO's own Service leads to port 5000.
func (r *Runtime) service(c *api.DeploymentConfig) *unstructured.Unstructured {
	s := runtimes.NewCompanion(r.info, c, "v1", "Service", c.Name+"-vllm")
	labels := s.GetLabels()
	labels[labelServiceType] = sourceVLLM
	s.SetLabels(labels)
	s.Object["spec"] = map[string]any{
		"type":     "ClusterIP",
		"selector": map[string]any{labelWorkspace: c.Name},
		"ports": []any{map[string]any{
			"name": "http", "port": int64(vllmPort), "targetPort": int64(vllmPort), "protocol": "TCP",
		}},
	}
	return s
}

var notInImages = regexp.MustCompile(`[^a-z0-9]+`)

// buildImage is where the build of a GGUF file is, if nothing else is said.
func buildImage(c *api.DeploymentConfig) string {
	name := strings.Trim(notInImages.ReplaceAllString(strings.ToLower(c.ModelId), "-"), "-")
	if len(name) > 57 {
		name = strings.Trim(name[:57], "-")
	}
	if name == "" {
		name = "model"
	}
	return runtimes.RepositoryBuilds + "aikit-" + name + ":" + quantization(c.GgufFile)
}

var quantized = regexp.MustCompile(`(?i)[.-]((?:I?Q[0-9]+(?:_[A-Z0-9]+)*)|BF16|F16|F32)\.gguf$`)

// quantization is the part of a file's name that tells it, as a tag.
func quantization(file string) string {
	if match := quantized.FindStringSubmatch(file); match != nil {
		return strings.ToUpper(match[1])
	}
	return "custom"
}

func check(c *api.DeploymentConfig) []api.ErrorDetail {
	var k runtimes.Check
	if runtimes.Disaggregated(c) {
		k.Refuse("mode", "must be aggregated: KAITO has no other")
	}
	k.Require("modelSource", c.ModelSource, "")
	k.OneOf("modelSource", c.ModelSource, sourcePremade, sourceHuggingFace, sourceVLLM)
	k.OneOf("ggufRunMode", c.GgufRunMode, runDirect, runBuild)
	k.OneOf("computeType", c.ComputeType, computeCPU, computeGPU)
	k.Text("ggufFile", c.GgufFile, 1024)
	k.Image("imageRef", c.ImageRef)
	switch c.ModelSource {
	case sourcePremade:
		k.Require("premadeModel", c.PremadeModel, " with modelSource premade")
		if _, known := aikitPremade(c.PremadeModel); c.PremadeModel != "" && !known {
			k.Refuse("premadeModel", "must be one of %s", strings.Join(premadeModels(), ", "))
		}
	case sourceHuggingFace:
		k.Require("modelId", c.ModelId, " with modelSource huggingface")
		k.Require("ggufFile", c.GgufFile, " with modelSource huggingface")
	case sourceVLLM:
		k.Require("modelId", c.ModelId, " with modelSource vllm")
	}
	for key := range c.LabelSelector {
		if len(c.LabelSelector) > 256 || len(key) > 317 {
			k.Refuse("labelSelector", "is too long")
		}
	}
	k.Labels("labelSelector", c.LabelSelector)
	if c.InstanceType != "" && !instanceType.MatchString(c.InstanceType) {
		k.Refuse("instanceType", "must be letters, digits, dots, dashes and underscores")
	}
	k.Common(c, maxName, runtimes.RoleWorker)
	return k.Details
}

var instanceType = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,99}$`)

// aikitPremade finds a ready-made model. Dashes are taken for colons: clients make ids of names in which there are no colons.
func aikitPremade(id string) (string, bool) {
	if _, ok := aikitNames[id]; ok {
		return id, true
	}
	alike := func(s string) string { return strings.ReplaceAll(s, ":", "-") }
	for known := range aikitNames {
		if alike(known) == alike(id) {
			return known, true
		}
	}
	return "", false
}

func premadeModels() []string {
	ids := make([]string, 0, len(aikitNames))
	for id := range aikitNames {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
