package runtimes

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubefoundry/kubefoundry/internal/capacity"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// TemplateGPUs returns how many GPUs the scheduler will set aside for a pod of this spec, which stands inside a custom
// resource.
func TemplateGPUs(podSpec map[string]any) int {
	var pod corev1.Pod
	for _, c := range field.Maps(podSpec, "containers") {
		pod.Spec.Containers = append(pod.Spec.Containers, templateContainer(c))
	}
	for _, c := range field.Maps(podSpec, "initContainers") {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, templateContainer(c))
	}
	return min(capacity.PodGPUs(&pod), field.Max)
}

// templateContainer is what counting GPUs needs of a container.
func templateContainer(c map[string]any) corev1.Container {
	policy := corev1.ContainerRestartPolicy(field.Text(c, "restartPolicy"))
	return corev1.Container{RestartPolicy: &policy, Resources: corev1.ResourceRequirements{
		Requests: gpus(c, "requests"), Limits: gpus(c, "limits"),
	}}
}

func gpus(container map[string]any, kind string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for _, name := range capacity.GPUResources() {
		if n, ok := field.Quantity(container, "resources", kind, string(name)); ok {
			list[name] = *resource.NewQuantity(int64(n), resource.DecimalSI)
		}
	}
	return list
}
