package runtimes

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

// PodDocument is the document of a deployment's pod. The id is the deployment's.
func PodDocument(rt Runtime, deploymentID string, pod *corev1.Pod) api.Pod {
	s := readPod(pod)
	return api.Pod{
		Id:         api.PodKey(pod.Namespace, pod.Name).ID,
		Name:       pod.Name,
		Namespace:  pod.Namespace,
		Deployment: deploymentID,
		Role:       rt.PodRole(pod),
		Phase:      s.phase,
		Ready:      s.ready,
		Restarts:   s.restarts,
		Node:       pod.Spec.NodeName,
		Reason:     s.reason,
		Message:    s.message,
		Gpus:       capacity.PodGPUs(pod),
		Containers: containers(pod),
		CreatedAt:  pod.CreationTimestamp.UTC(),
	}
}

// podState is what a pod's status comes to.
type podState struct {
	pod      *corev1.Pod
	phase    api.PodPhase
	ready    bool
	restarts int
	// reason and message say why it is not ready, empty where it is or where nothing is wrong.
	reason, message string
	// faults of its containers; the first is the one shown.
	faults []fault
	// unscheduled: no node has taken it. scheduling is the scheduler's message then.
	unscheduled bool
	scheduling  string
	// started: a container of it has run, so its volumes and its network were set up.
	started bool
}

func (s *podState) deleting() bool { return s.pod.DeletionTimestamp != nil }

// over: it has ended and will not serve again; its controller makes another.
func (s *podState) over() bool {
	return s.phase == api.PodPhaseFailed || s.phase == api.PodPhaseSucceeded
}

func readPod(pod *corev1.Pod) podState {
	s := podState{pod: pod, phase: podPhase(pod.Status.Phase)}
	s.ready = !s.deleting() && s.phase == api.PodPhaseRunning && podCondition(pod, corev1.PodReady).Status == corev1.ConditionTrue
	waiting := ""
	for _, statuses := range [2][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			status := &statuses[i]
			s.restarts += int(max(status.RestartCount, 0))
			if status.State.Running != nil || status.State.Terminated != nil || status.RestartCount > 0 {
				s.started = true
			}
			if f, ok := containerFault(pod, status); ok {
				s.faults = append(s.faults, f)
			} else if w := status.State.Waiting; w != nil && w.Reason != "" && waiting == "" {
				waiting = w.Reason
			}
		}
	}
	if scheduled := podCondition(pod, corev1.PodScheduled); pod.Spec.NodeName == "" && s.phase == api.PodPhasePending {
		s.unscheduled = true
		if scheduled.Status == corev1.ConditionFalse {
			s.reason, s.scheduling = scheduled.Reason, scheduled.Message
		}
	}
	s.explain(waiting)
	return s
}

// explain chooses the reason that a person is shown for the pod.
func (s *podState) explain(waiting string) {
	status := &s.pod.Status
	switch {
	case s.deleting():
		s.reason = "Terminating"
	case s.ready:
	case s.phase == api.PodPhaseFailed && status.Reason != "":
		s.reason, s.message = status.Reason, Steady(status.Message)
	case s.phase == api.PodPhaseSucceeded:
	case len(s.faults) > 0:
		s.reason, s.message = s.faults[0].reason, s.faults[0].message
	case s.phase == api.PodPhaseFailed:
		s.reason, s.message = "Error", Steady(status.Message)
	case s.unscheduled:
		s.message = Steady(s.scheduling)
	case waiting != "":
		s.reason = waiting
	default:
		s.reason, s.message = status.Reason, Steady(status.Message)
	}
}

func podPhase(phase corev1.PodPhase) api.PodPhase {
	if phase == "" {
		return api.PodPhasePending
	}
	if p := api.PodPhase(phase); p.Valid() {
		return p
	}
	return api.PodPhaseUnknown
}

// podCondition returns the pod's condition of a type, the zero value where it has none.
func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return pod.Status.Conditions[i]
		}
	}
	return corev1.PodCondition{}
}

// summary is the pod as it stands in its deployment's document.
func (s *podState) summary() api.PodSummary {
	return api.PodSummary{
		Name:     s.pod.Name,
		Phase:    s.phase,
		Ready:    s.ready,
		Restarts: s.restarts,
		Node:     s.pod.Spec.NodeName,
		Reason:   s.reason,
	}
}

// imageOf returns the image that a container was given, or the one that the kubelet names.
func imageOf(pod *corev1.Pod, status *corev1.ContainerStatus) string {
	for _, list := range [2][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == status.Name && list[i].Image != "" {
				return list[i].Image
			}
		}
	}
	return strings.TrimSpace(status.Image)
}
