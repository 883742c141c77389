package standin

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// tally counts the pods of one part of a deployment.
type tally struct {
	desired   int
	total     int
	updated   int // made from the present template
	scheduled int
	running   int
	ready     int
	fault     *fault // the first one found
}

// fault is why a pod does not get ready, as its status tells it.
type fault struct {
	pod      string
	reason   string // of the waiting container, or Unschedulable
	message  string
	restarts int32
}

func (f *fault) String() string {
	return fmt.Sprintf("pod %s: %s: %s", f.pod, f.reason, f.message)
}

// count tallies pods; hash is the present template, or empty if none matters.
// Pods that are being deleted no longer count.
func count(desired int, hash string, pods []*corev1.Pod) tally {
	t := tally{desired: desired}
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		t.total++
		if hash == "" || pod.Annotations[hashAnnotation] == hash {
			t.updated++
		}
		if pod.Spec.NodeName != "" {
			t.scheduled++
		}
		if pod.Status.Phase == corev1.PodRunning {
			t.running++
		}
		if podReady(pod) {
			t.ready++
			continue
		}
		if f := faultOf(pod); f != nil && (t.fault == nil || f.pod < t.fault.pod) {
			t.fault = f
		}
	}
	return t
}

func (t tally) allReady() bool { return t.ready >= t.desired }

func podReady(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodRunning {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// faultOf reads a pod's trouble from its status. Waiting for a container to be
// created is no trouble.
func faultOf(pod *corev1.Pod) *fault {
	for _, c := range pod.Status.ContainerStatuses {
		waiting := c.State.Waiting
		if waiting == nil || waiting.Reason == "" || waiting.Reason == "ContainerCreating" || waiting.Reason == "PodInitializing" {
			continue
		}
		return &fault{pod: pod.Name, reason: waiting.Reason, message: waiting.Message, restarts: c.RestartCount}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return &fault{pod: pod.Name, reason: c.Reason, message: c.Message}
		}
	}
	return nil
}

// withLabel keeps the pods that carry a label value.
func withLabel(pods []*corev1.Pod, label, value string) []*corev1.Pod {
	var some []*corev1.Pod
	for _, pod := range pods {
		if pod.Labels[label] == value {
			some = append(some, pod)
		}
	}
	return some
}
