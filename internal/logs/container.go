package logs

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// defaultContainer is the annotation by which a pod says which of its containers people mean; kubectl goes by it too.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// DefaultContainer is the container that is meant where none is named: the one that the pod itself says, else its first one.
// An init container is meant only where the pod says so.
func DefaultContainer(pod *corev1.Pod) string {
	named := func(name string) func(corev1.Container) bool {
		return func(c corev1.Container) bool { return c.Name == name }
	}
	if said := pod.Annotations[defaultContainer]; said != "" &&
		(slices.ContainsFunc(pod.Spec.Containers, named(said)) || slices.ContainsFunc(pod.Spec.InitContainers, named(said))) {
		return said
	}
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Name
}
