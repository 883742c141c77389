package scenario

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

var rayServiceKind = schema.GroupVersionKind{Group: "ray.io", Version: "v1", Kind: "RayService"}

const (
	rayVersion = "2.55.0"
	rayImage   = "rayproject/ray-llm:2.55.0-py311-cu128"
)

func rayServiceObject(d deployment) *unstructured.Unstructured {
	object := d.object(rayServiceKind, nil)
	groups := []any{rayGroup(d, "gpu-group", d.worker, map[string]any{})}
	config := aggregatedApp(d)
	if d.disaggregated() {
		groups = []any{
			rayGroup(d, "prefill-group", d.prefill, map[string]any{"resources": `"{\"prefill_node\": 1}"`}),
			rayGroup(d, "decode-group", d.decode, map[string]any{"resources": `"{\"decode_node\": 1}"`}),
		}
		config = disaggregatedApp(d)
	}
	text, err := yaml.Marshal(map[string]any{"applications": []any{config}})
	if err != nil {
		panic(fmt.Sprintf("serve config: %v", err)) // only maps, lists and texts
	}
	object.Object["spec"] = map[string]any{
		"serveConfigV2": string(text),
		"rayClusterConfig": map[string]any{
			"rayVersion": rayVersion,
			"headGroupSpec": map[string]any{
				"rayStartParams": map[string]any{"num-gpus": "0", "dashboard-host": "0.0.0.0"},
				"template":       map[string]any{"spec": map[string]any{"containers": []any{rayHead(d)}}},
			},
			"workerGroupSpecs": groups,
		},
	}
	return object
}

func rayContainer(d deployment, name, cpu, memory string, gpus int) map[string]any {
	image := rayImage
	if d.image != "" {
		image = d.image
	}
	amounts := func() map[string]any {
		m := map[string]any{"cpu": cpu, "memory": memory}
		if gpus > 0 {
			m["nvidia.com/gpu"] = fmt.Sprint(gpus)
		}
		return m
	}
	container := map[string]any{
		"name": name, "image": image, "resources": map[string]any{"limits": amounts(), "requests": amounts()},
	}
	if d.gated {
		container["envFrom"] = []any{map[string]any{"secretRef": map[string]any{"name": hfSecret}}}
	}
	return container
}

func rayHead(d deployment) map[string]any {
	head := rayContainer(d, "ray-head", "2", "8Gi", 0)
	var ports []any
	for _, port := range []struct {
		name   string
		number int64
	}{{"gcs-server", 6379}, {"dashboard", 8265}, {"client", 10001}, {"serve", 8000}} {
		ports = append(ports, map[string]any{"name": port.name, "containerPort": port.number})
	}
	head["ports"] = ports
	return head
}

func rayGroup(d deployment, name string, r role, params map[string]any) map[string]any {
	spec := map[string]any{
		"containers": []any{rayContainer(d, "ray-worker", "4", "16Gi", r.gpus)},
		"tolerations": []any{map[string]any{
			"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule",
		}},
	}
	if selector := d.nodeSelector(); selector != nil {
		spec["nodeSelector"] = selector
	}
	return map[string]any{
		"groupName": name, "replicas": int64(r.replicas), "minReplicas": int64(1), "maxReplicas": int64(max(r.replicas, 2)),
		"rayStartParams": params, "template": map[string]any{"spec": spec},
	}
}

func loading(d deployment) map[string]any {
	return map[string]any{"model_id": d.servedName(), "model_source": d.model}
}

func engineArgs(d deployment, r role) map[string]any {
	args := map[string]any{
		"tensor_parallel_size": max(r.gpus, 1), "gpu_memory_utilization": 0.9, "dtype": "auto",
		"max_num_seqs": 40, "max_model_len": 16384, "enable_chunked_prefill": true,
	}
	if d.context > 0 {
		args["max_model_len"] = d.context
	}
	return args
}

func autoscaling(r role) map[string]any {
	return map[string]any{"autoscaling_config": map[string]any{"min_replicas": 1, "max_replicas": max(r.replicas, 2)}}
}

func aggregatedApp(d deployment) map[string]any {
	return map[string]any{
		"name": "llm_app", "import_path": "ray.serve.llm:build_openai_app", "route_prefix": "/",
		"runtime_env": map[string]any{"env_vars": map[string]any{"VLLM_USE_V1": "1"}},
		"args": map[string]any{"llm_configs": []any{map[string]any{
			"model_loading_config": loading(d), "deployment_config": autoscaling(d.worker), "engine_kwargs": engineArgs(d, d.worker),
		}}},
	}
}

func disaggregatedApp(d deployment) map[string]any {
	part := func(r role, kind, node string) map[string]any {
		args := engineArgs(d, r)
		args["kv_transfer_config"] = map[string]any{"kv_connector": "NixlConnector", "kv_role": kind}
		config := autoscaling(r)
		config["ray_actor_options"] = map[string]any{"resources": map[string]any{node: 1}}
		return map[string]any{"model_loading_config": loading(d), "deployment_config": config, "engine_kwargs": args}
	}
	return map[string]any{
		"name": "pd-disaggregation", "import_path": "ray.serve.llm:build_pd_openai_app", "route_prefix": "/",
		"runtime_env": map[string]any{"env_vars": map[string]any{"VLLM_USE_V1": "1"}},
		"args": map[string]any{
			"prefill_config": part(d.prefill, "kv_producer", "prefill_node"),
			"decode_config":  part(d.decode, "kv_consumer", "decode_node"),
		},
	}
}
