package runtimes

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubefoundry/kubefoundry/internal/capacity"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// TemplateGPUs returns how many GPUs one pod of a pod spec inside a custom resource asks for, by the rule that is used for
// pods, so that a deployment and its pods never disagree about it.
func TemplateGPUs(podSpec map[string]any) int {
	var spec corev1.PodSpec
	for _, c := range field.Maps(podSpec, "containers") {
		spec.Containers = append(spec.Containers, devices(c))
	}
	for _, c := range field.Maps(podSpec, "initContainers") {
		container := devices(c)
		if field.Text(c, "restartPolicy") == string(corev1.ContainerRestartPolicyAlways) {
			always := corev1.ContainerRestartPolicyAlways
			container.RestartPolicy = &always
		}
		spec.InitContainers = append(spec.InitContainers, container)
	}
	return min(capacity.PodGPUs(&corev1.Pod{Spec: spec}), field.Max)
}

// devices reads the extended resources of a container, which have a slash in their name, and none of the others.
func devices(container map[string]any) corev1.Container {
	read := func(kind string) corev1.ResourceList {
		var list corev1.ResourceList
		for name := range field.Map(container, "resources", kind) {
			if !strings.Contains(name, "/") {
				continue
			}
			if n, ok := field.Quantity(container, "resources", kind, name); ok {
				if list == nil {
					list = make(corev1.ResourceList, 1)
				}
				list[corev1.ResourceName(name)] = *resource.NewQuantity(int64(n), resource.DecimalSI)
			}
		}
		return list
	}
	return corev1.Container{Resources: corev1.ResourceRequirements{Limits: read("limits"), Requests: read("requests")}}
}
