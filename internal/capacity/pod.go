package capacity

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// GPUResources are the resources that stand for whole GPUs.
func GPUResources() [4]corev1.ResourceName {
	return [...]corev1.ResourceName{"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"}
}

// maxGPUs bounds what one quantity can say, so that no sum overflows whatever a status claims.
const maxGPUs = math.MaxInt32

// PodGPUs returns the GPUs that the scheduler sets aside for a pod, whatever phase it is in. By its rule that is, for each
// resource, the larger of what the containers and the sidecars ask for together, and of what any init container asks for
// together with the sidecars started before it. Requests default to limits. Pod-level resources do not enter: Kubernetes
// allows only cpu, memory and huge pages there.
func PodGPUs(pod *corev1.Pod) int {
	total := 0
	for _, name := range GPUResources() {
		total += podRequest(&pod.Spec, name)
	}
	return total
}

func podRequest(spec *corev1.PodSpec, name corev1.ResourceName) int {
	running := 0
	for i := range spec.Containers {
		running += containerRequest(&spec.Containers[i], name)
	}
	sidecars, starting := 0, 0
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		gpus := containerRequest(c, name)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			sidecars += gpus
			starting = max(starting, sidecars)
		} else {
			starting = max(starting, sidecars+gpus)
		}
	}
	return max(running+sidecars, starting)
}

func containerRequest(c *corev1.Container, name corev1.ResourceName) int {
	quantity, ok := c.Resources.Requests[name]
	if !ok {
		quantity = c.Resources.Limits[name]
	}
	return count(quantity)
}

func count(quantity resource.Quantity) int {
	return int(min(max(quantity.Value(), 0), maxGPUs))
}

// Holds tells whether a pod occupies its resources: a node was chosen for it and it has not ended. A pod that is being
// deleted holds them until it is gone.
func Holds(pod *corev1.Pod) bool {
	return pod.Spec.NodeName != "" && !ended(pod)
}

// Waits tells whether no node has taken the pod yet. What it asks for is pending.
func Waits(pod *corev1.Pod) bool {
	return pod.Spec.NodeName == "" && !ended(pod) && pod.DeletionTimestamp == nil
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
