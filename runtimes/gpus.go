package runtimes

import (
	"math"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// gpuResources are the resources that stand for whole GPUs, the same as in the arithmetic of the cluster's capacity.
var gpuResources = [...]corev1.ResourceName{"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"}

// PodGPUs returns how many GPUs the scheduler sets aside for a pod.
func PodGPUs(pod *corev1.Pod) int {
	total := 0
	for _, name := range gpuResources {
		var sum reservation
		for i := range pod.Spec.Containers {
			sum.add(requested(&pod.Spec.Containers[i], name))
		}
		for i := range pod.Spec.InitContainers {
			c := &pod.Spec.InitContainers[i]
			sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
			sum.addInit(requested(c, name), sidecar)
		}
		total += sum.size()
	}
	return total
}

// TemplateGPUs is PodGPUs of a pod spec inside a custom resource.
func TemplateGPUs(podSpec map[string]any) int {
	containers, initContainers := field.Maps(podSpec, "containers"), field.Maps(podSpec, "initContainers")
	total := 0
	for _, name := range gpuResources {
		var sum reservation
		for _, c := range containers {
			sum.add(wanted(c, name))
		}
		for _, c := range initContainers {
			sum.addInit(wanted(c, name), field.Text(c, "restartPolicy") == string(corev1.ContainerRestartPolicyAlways))
		}
		total += sum.size()
	}
	return min(total, field.Max)
}

// reservation is what a pod needs of one resource at once. Init containers run one after the other, beside the sidecars
// that were started before them, and are over when the containers start: the largest of them counts, not their sum.
type reservation struct{ running, sidecars, starting int }

func (r *reservation) add(n int) { r.running += n }

func (r *reservation) addInit(n int, sidecar bool) {
	r.starting = max(r.starting, r.sidecars+n)
	if sidecar {
		r.sidecars += n
	}
}

func (r *reservation) size() int { return max(r.running+r.sidecars, r.starting) }

// requested is what a container asks for; a request that is left out is the limit.
func requested(c *corev1.Container, name corev1.ResourceName) int {
	quantity, ok := c.Resources.Requests[name]
	if !ok {
		quantity = c.Resources.Limits[name]
	}
	return int(min(max(quantity.Value(), 0), math.MaxInt32))
}

func wanted(container map[string]any, name corev1.ResourceName) int {
	for _, kind := range [2]string{"requests", "limits"} {
		if n, ok := field.Quantity(container, "resources", kind, string(name)); ok {
			return n
		}
	}
	return 0
}
