package runtimes

import (
	corev1 "k8s.io/api/core/v1"
	resources "k8s.io/component-helpers/resource"

	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// ResourceGPU is the extended resource that is counted as GPUs.
const ResourceGPU corev1.ResourceName = "nvidia.com/gpu"

// PodGPUs returns how many GPUs a pod holds: what the scheduler reserves for it. Init containers run one after the other
// beside the sidecars started before them, so the largest of them counts and not their sum.
func PodGPUs(pod *corev1.Pod) int {
	requests := resources.PodRequests(pod, resources.PodResourcesOptions{})
	if q, ok := requests[ResourceGPU]; ok && q.Sign() > 0 {
		return int(min(q.Value(), field.Max))
	}
	// The API server copies limits to requests; a pod that did not pass through it may have limits only.
	limits := resources.PodLimits(pod, resources.PodResourcesOptions{})
	if q, ok := limits[ResourceGPU]; ok && q.Sign() > 0 {
		return int(min(q.Value(), field.Max))
	}
	return 0
}

// TemplateGPUs returns how many GPUs one pod of a pod spec inside a custom resource asks for, by the same rule.
func TemplateGPUs(podSpec map[string]any) int {
	containers, sidecars, initial := 0, 0, 0
	for _, c := range field.Maps(podSpec, "containers") {
		containers += containerGPUs(c)
	}
	for _, c := range field.Maps(podSpec, "initContainers") {
		gpus := containerGPUs(c)
		if field.Text(c, "restartPolicy") == string(corev1.ContainerRestartPolicyAlways) {
			sidecars += gpus
			initial = max(initial, sidecars)
			continue
		}
		initial = max(initial, sidecars+gpus)
	}
	return max(containers+sidecars, initial)
}

func containerGPUs(container map[string]any) int {
	for _, kind := range [2]string{"limits", "requests"} {
		if n, ok := field.Quantity(container, "resources", kind, string(ResourceGPU)); ok {
			return n
		}
	}
	return 0
}
