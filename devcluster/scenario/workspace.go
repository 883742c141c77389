package scenario

import (
	"maps"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var workspaceKind = schema.GroupVersionKind{Group: "kaito.sh", Version: "v1beta1", Kind: "Workspace"}

// workspaceObjects are a Workspace and, for vLLM, the Service that reaches its
// port, since KAITO's own leads to another.
func workspaceObjects(d deployment) []*unstructured.Unstructured {
	gpu := d.worker.gpus > 0
	source := "premade"
	switch {
	case d.engine == vllm:
		source = "vllm"
	case d.file != "":
		source = "huggingface"
	}
	labels := map[string]string{"kubefoundry.io/compute-type": "cpu", "kubefoundry.io/model-source": source}
	if gpu {
		labels["kubefoundry.io/compute-type"] = "gpu"
	}
	if source == "huggingface" {
		labels["kubefoundry.io/run-mode"] = "direct"
	}
	object := d.object(workspaceKind, labels)
	object.Object["resource"] = map[string]any{
		"count":         int64(d.worker.replicas),
		"labelSelector": map[string]any{"matchLabels": workspaceNodes(d, gpu)},
	}
	if d.preset {
		object.Object["inference"] = map[string]any{"preset": map[string]any{"name": d.model}}
		return []*unstructured.Unstructured{object}
	}
	pod := llamaCppPod(d)
	if d.engine == vllm {
		pod = vllmPod(d)
	}
	object.Object["inference"] = map[string]any{"template": map[string]any{"spec": pod}}
	if d.engine != vllm {
		return []*unstructured.Unstructured{object}
	}
	return []*unstructured.Unstructured{object, vllmService(d)}
}

func workspaceNodes(d deployment, gpu bool) map[string]any {
	nodes := map[string]any{"kubernetes.io/os": "linux"}
	if gpu {
		nodes = map[string]any{"nvidia.com/gpu.present": "true"}
	}
	for key, value := range d.nodes {
		nodes[key] = value
	}
	maps.Copy(nodes, d.nodeSelector())
	return nodes
}

func llamaCppPod(d deployment) map[string]any {
	image, args := "ghcr.io/kaito-project/aikit/"+d.model, texts("run", "--address=:5000")
	if d.file != "" {
		image, args = "docker.io/sozercan/runner:latest", texts("huggingface://"+d.model+"/"+d.file, "--address=:5000")
	}
	if d.image != "" {
		image = d.image
	}
	container := map[string]any{
		"name": "model", "image": image, "args": args,
		"ports": []any{map[string]any{"containerPort": int64(5000), "protocol": "TCP"}},
	}
	resources := map[string]any{"requests": map[string]any{"cpu": "1", "memory": "2Gi"}}
	if d.worker.gpus > 0 {
		resources["limits"] = map[string]any{"nvidia.com/gpu": int64(d.worker.gpus)}
	}
	container["resources"] = resources
	return map[string]any{"containers": []any{container}}
}

func vllmPod(d deployment) map[string]any {
	args := []string{
		"-m", "vllm.entrypoints.openai.api_server", "--model", d.model,
		"--tensor-parallel-size", strconv.Itoa(max(d.worker.gpus, 1)), "--trust-remote-code",
	}
	if d.served != "" {
		args = append(args, "--served-model-name", d.served)
	}
	if d.context > 0 {
		args = append(args, "--max-model-len", strconv.Itoa(d.context))
	}
	image := "mcr.microsoft.com/aks/kaito/kaito-base:0.1.1"
	if d.image != "" {
		image = d.image
	}
	probe := func(initial int64) map[string]any {
		return map[string]any{
			"httpGet":             map[string]any{"path": "/health", "port": int64(8000)},
			"initialDelaySeconds": initial, "periodSeconds": int64(10), "failureThreshold": int64(3),
		}
	}
	gpus := map[string]any{"nvidia.com/gpu": int64(d.worker.gpus)}
	container := map[string]any{
		"name": "model", "image": image, "command": texts("python"), "args": texts(args...),
		"ports":         []any{map[string]any{"containerPort": int64(8000), "protocol": "TCP"}},
		"livenessProbe": probe(600), "readinessProbe": probe(30),
		"resources":    map[string]any{"requests": gpus, "limits": maps.Clone(gpus)},
		"volumeMounts": []any{map[string]any{"name": "dshm", "mountPath": "/dev/shm"}},
	}
	if d.gated {
		container["env"] = []any{map[string]any{"name": "HF_TOKEN", "valueFrom": map[string]any{
			"secretKeyRef": map[string]any{"name": hfSecret, "key": "HF_TOKEN"},
		}}}
	}
	return map[string]any{
		"containers": []any{container},
		"volumes":    []any{map[string]any{"name": "dshm", "emptyDir": map[string]any{"medium": "Memory"}}},
	}
}

func vllmService(d deployment) *unstructured.Unstructured {
	service := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"type":     "ClusterIP",
		"selector": map[string]any{"kaito.sh/workspace": d.name},
		"ports":    []any{map[string]any{"name": "http", "port": int64(8000), "targetPort": int64(8000), "protocol": "TCP"}},
	}}}
	service.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Service"})
	service.SetName(d.name + "-vllm")
	service.SetNamespace(d.namespace)
	service.SetLabels(map[string]string{
		"app.kubernetes.io/name": "kubefoundry", "app.kubernetes.io/instance": d.name,
		"app.kubernetes.io/managed-by": "kubefoundry", "kubefoundry.io/service-type": "vllm",
	})
	return service
}
