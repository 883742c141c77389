package runtimes

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	reasonCrashLoop = "CrashLoopBackOff"
	reasonImagePull = "ImagePullBackOff"
)

// crashes is how often a container must have been restarted to count as one that crash-loops while it runs again. It keeps
// a deployment from going back and forth between Failed and Deploying with each try.
const crashes = 2

// fault is what keeps a container from running. A fatal one does not go away without somebody doing something.
type fault struct {
	reason, message string
	fatal           bool
	// vague: the kubelet has not said why an image cannot be pulled; an event may.
	vague bool
}

// containerFault finds what is wrong with a container, from its own status alone.
func containerFault(pod *corev1.Pod, status *corev1.ContainerStatus) (fault, bool) {
	switch state := &status.State; {
	case state.Waiting != nil:
		return waitingFault(pod, status)
	case state.Terminated != nil && state.Terminated.ExitCode != 0:
		if status.RestartCount > 0 {
			return fault{reason: reasonCrashLoop, message: crashMessage(status, state.Terminated), fatal: true}, true
		}
		reason := state.Terminated.Reason
		if reason == "" {
			reason = "Error"
		}
		return fault{reason: reason, message: crashMessage(status, state.Terminated)}, true
	case state.Running != nil && !status.Ready && status.RestartCount >= crashes:
		if last := status.LastTerminationState.Terminated; last != nil && last.ExitCode != 0 {
			return fault{reason: reasonCrashLoop, message: crashMessage(status, last), fatal: true}, true
		}
	}
	return fault{}, false
}

func waitingFault(pod *corev1.Pod, status *corev1.ContainerStatus) (fault, bool) {
	waiting := status.State.Waiting
	switch waiting.Reason {
	case reasonCrashLoop:
		return fault{reason: reasonCrashLoop, message: crashMessage(status, status.LastTerminationState.Terminated), fatal: true}, true
	case "ErrImagePull", reasonImagePull:
		// The kubelet goes back and forth between the two; one name is kept so that the document does not.
		detail := pullDetail(waiting.Message)
		return fault{
			reason: reasonImagePull, message: pullMessage(imageOf(pod, status), detail), fatal: true, vague: detail == "",
		}, true
	case "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed",
		"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError",
		"PostStartHookError":
		return fault{reason: waiting.Reason, message: named(status.Name, waiting.Message), fatal: true}, true
	}
	return fault{}, false
}

// crashMessage tells how a container ended; the kubelet's own message only tells how long it waits until the next try.
func crashMessage(status *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) string {
	if end == nil {
		return named(status.Name, "keeps crashing")
	}
	how := fmt.Sprintf("ended with exit code %d", end.ExitCode)
	if end.Reason != "" && end.Reason != "Error" {
		how += " (" + end.Reason + ")"
	}
	if text := Steady(end.Message); text != "" {
		how += ": " + text
	}
	return named(status.Name, how)
}

func named(container, message string) string {
	if message == "" {
		return fmt.Sprintf("container %q", container)
	}
	return Steady(fmt.Sprintf("container %q: %s", container, message))
}

func pullMessage(image, detail string) string {
	if detail == "" {
		return fmt.Sprintf("image %q cannot be pulled", image)
	}
	return Steady(fmt.Sprintf("image %q cannot be pulled: %s", image, detail))
}

// pullDetail returns why an image cannot be pulled, out of the several sentences that the kubelet wraps it in: `Back-off
// pulling image "x"`, since Kubernetes 1.32 followed by `: ErrImagePull: …`, and `Failed to pull image "x": …` in events.
func pullDetail(message string) string {
	for _, wrap := range []string{`Back-off pulling image "`, `Failed to pull image "`} {
		if rest, ok := strings.CutPrefix(message, wrap); ok {
			_, message, _ = strings.Cut(rest, `"`)
			message = strings.TrimPrefix(message, ":")
		}
	}
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(message), "ErrImagePull:"))
}

// containers lists a pod's containers as they stand in its document, those that serve first, then the init containers.
func containers(pod *corev1.Pod) []api.Container {
	list := make([]api.Container, 0, len(pod.Spec.Containers)+len(pod.Spec.InitContainers))
	list = appendContainers(list, pod, pod.Spec.Containers, pod.Status.ContainerStatuses)
	return appendContainers(list, pod, pod.Spec.InitContainers, pod.Status.InitContainerStatuses)
}

// appendContainers keeps the order of the spec, the kubelet's being by name. A container without a status has not started.
func appendContainers(
	list []api.Container, pod *corev1.Pod, specs []corev1.Container, statuses []corev1.ContainerStatus,
) []api.Container {
	if len(specs) == 0 {
		for i := range statuses {
			list = append(list, container(pod, &statuses[i]))
		}
		return list
	}
	for i := range specs {
		status := corev1.ContainerStatus{Name: specs[i].Name}
		for j := range statuses {
			if statuses[j].Name == specs[i].Name {
				status = statuses[j]
				break
			}
		}
		list = append(list, container(pod, &status))
	}
	return list
}

func container(pod *corev1.Pod, status *corev1.ContainerStatus) api.Container {
	c := api.Container{
		Name:     status.Name,
		State:    api.ContainerStateWaiting,
		Ready:    status.Ready,
		Restarts: int(max(status.RestartCount, 0)),
	}
	switch state := &status.State; {
	case state.Running != nil:
		c.State = api.ContainerStateRunning
	case state.Terminated != nil:
		c.State, c.Reason, c.Message = api.ContainerStateTerminated, state.Terminated.Reason, Steady(state.Terminated.Message)
	case state.Waiting != nil:
		c.Reason, c.Message = state.Waiting.Reason, Steady(state.Waiting.Message)
	}
	if f, ok := containerFault(pod, status); ok {
		c.Reason, c.Message = f.reason, f.message
	}
	return c
}
