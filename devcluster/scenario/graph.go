package scenario

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var graphKind = schema.GroupVersionKind{Group: "nvidia.com", Version: "v1alpha1", Kind: "DynamoGraphDeployment"}

const dynamoVersion = "1.1.1"

func dynamoImage(d deployment) string {
	if d.image != "" {
		return d.image
	}
	name := map[string]string{vllm: "vllm-runtime", sglang: "sglang-runtime", trtllm: "tensorrtllm-runtime"}[d.engine]
	return "nvcr.io/nvidia/ai-dynamo/" + name + ":" + dynamoVersion
}

// graphObject is a graph of a frontend and one worker, or two if disaggregated.
func graphObject(d deployment) *unstructured.Unstructured {
	kind := graphKind
	if d.beta {
		kind.Version = "v1beta1"
	}
	object := d.object(kind, nil)
	if d.beta {
		object.Object["spec"] = map[string]any{"backendFramework": d.engine, "components": components(d)}
		return object
	}
	services := map[string]any{"Frontend": map[string]any{
		"componentType": "frontend", "replicas": int64(1), "dynamoNamespace": d.name,
		"extraPodSpec": map[string]any{"mainContainer": map[string]any{
			"image": dynamoImage(d), "workingDir": workingDir(d), "command": texts("python3"), "args": texts("-m", "dynamo.frontend"),
		}},
	}}
	prefix := strings.ToUpper(d.engine[:1]) + d.engine[1:]
	if d.disaggregated() {
		services[prefix+"PrefillWorker"] = graphWorker(d, d.prefill, "prefill")
		services[prefix+"DecodeWorker"] = graphWorker(d, d.decode, "decode")
	} else {
		services[prefix+"Worker"] = graphWorker(d, d.worker, "")
	}
	if d.gated {
		for _, service := range services {
			service.(map[string]any)["envFromSecret"] = hfSecret
		}
	}
	object.Object["spec"] = map[string]any{"backendFramework": d.engine, "services": services}
	return object
}

func workingDir(d deployment) string { return "/workspace/examples/backends/" + d.engine }

func graphWorker(d deployment, r role, part string) map[string]any {
	pod := map[string]any{"mainContainer": map[string]any{
		"image": dynamoImage(d), "workingDir": workingDir(d), "command": texts("python3"), "args": texts(graphArgs(d, r, part)...),
	}}
	if selector := d.nodeSelector(); selector != nil {
		pod["nodeSelector"] = selector
	}
	worker := map[string]any{
		"componentType": "worker", "replicas": int64(r.replicas), "dynamoNamespace": d.name, "extraPodSpec": pod,
	}
	if part != "" {
		worker["subComponentType"] = part
	}
	if r.gpus > 0 {
		gpus := map[string]any{"gpu": strconv.Itoa(r.gpus)}
		worker["resources"] = map[string]any{"requests": gpus, "limits": map[string]any{"gpu": strconv.Itoa(r.gpus)}}
	}
	return worker
}

// graphArgs are the flags of the engine, each an item of its own and each one
// that this engine knows.
func graphArgs(d deployment, r role, part string) []string {
	args := []string{"-m", "dynamo." + d.engine, "--model", d.model}
	if d.engine == sglang {
		args[2] = "--model-path"
	}
	if d.engine == trtllm {
		args[2] = "--model-path"
	}
	if d.served != "" {
		args = append(args, "--served-model-name", d.served)
	}
	if r.gpus > 1 {
		flag := "--tensor-parallel-size"
		if d.engine == sglang {
			flag = "--tp"
		}
		args = append(args, flag, strconv.Itoa(r.gpus))
	}
	if d.context > 0 {
		flag := "--max-model-len"
		switch d.engine {
		case sglang:
			flag = "--context-length"
		case trtllm:
			flag = "--max-seq-len"
		}
		args = append(args, flag, strconv.Itoa(d.context))
	}
	switch {
	case part == "":
	case d.engine != vllm:
		args = append(args, "--disaggregation-mode", part)
	case part == "prefill":
		args = append(args, "--is-prefill-worker")
	}
	return args
}

// components are the same graph in the shape of v1beta1.
func components(d deployment) []any {
	main := func(args []string, gpus int) map[string]any {
		container := map[string]any{"name": "main", "image": dynamoImage(d), "command": texts("python3"), "args": texts(args...)}
		if gpus > 0 {
			container["resources"] = map[string]any{"limits": map[string]any{"nvidia.com/gpu": strconv.Itoa(gpus)}}
		}
		if d.gated {
			container["envFrom"] = []any{map[string]any{"secretRef": map[string]any{"name": hfSecret}}}
		}
		return map[string]any{"spec": map[string]any{"containers": []any{container}}}
	}
	part := func(name, kind string, r role, args []string) map[string]any {
		return map[string]any{"name": name, "type": kind, "replicas": int64(r.replicas), "podTemplate": main(args, r.gpus)}
	}
	list := []any{part("frontend", "frontend", role{replicas: 1}, []string{"-m", "dynamo.frontend"})}
	if !d.disaggregated() {
		return append(list, part("worker", "worker", d.worker, graphArgs(d, d.worker, "")))
	}
	return append(list,
		part("prefill", "prefill", d.prefill, graphArgs(d, d.prefill, "prefill")),
		part("decode", "decode", d.decode, graphArgs(d, d.decode, "decode")))
}
