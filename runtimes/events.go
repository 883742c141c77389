package runtimes

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// eventsOf groups warnings by the pod that they are about; the others are of the custom resource or of what its operator
// made from it. Events of an earlier pod or resource of the same name are left out.
func eventsOf(events []*corev1.Event, pods []podState, d *api.Deployment) (byPod map[string][]*corev1.Event, others []*corev1.Event) {
	if len(events) == 0 {
		return nil, nil
	}
	uids := make(map[string]string, len(pods))
	for i := range pods {
		uids[pods[i].pod.Name] = string(pods[i].pod.UID)
	}
	byPod = make(map[string][]*corev1.Event)
	for _, event := range events {
		if event == nil || event.Type != corev1.EventTypeWarning {
			continue
		}
		about := &event.InvolvedObject
		switch about.Kind {
		case "Pod":
			if uid, ok := uids[about.Name]; ok && sameUID(string(about.UID), uid) {
				byPod[about.Name] = append(byPod[about.Name], event)
			}
		case d.Resource.Kind:
			if about.Name == d.Name && sameUID(string(about.UID), d.Resource.Uid) {
				others = append(others, event)
			}
		default:
			others = append(others, event)
		}
	}
	return byPod, others
}

func sameUID(a, b string) bool { return a == "" || b == "" || a == b }

// latest returns the newest event of a reason, nil where there is none.
func latest(events []*corev1.Event, reason string) *corev1.Event {
	var newest *corev1.Event
	for _, event := range events {
		if event.Reason == reason && (newest == nil || compareEvents(event, newest) > 0) {
			newest = event
		}
	}
	return newest
}

// compareEvents orders by time, and by message where the time is the same, so that the order in which events are given does
// not matter.
func compareEvents(a, b *corev1.Event) int {
	return cmp.Or(eventTime(a).Compare(eventTime(b)), strings.Compare(a.Message, b.Message))
}

// eventTime is when an event was last seen. Which field is set depends on who wrote it.
func eventTime(event *corev1.Event) time.Time {
	switch {
	case event.Series != nil && !event.Series.LastObservedTime.IsZero():
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	}
	return event.CreationTimestamp.Time
}

// addPodEvents adds warnings about a pod that its status does not tell. Events outlive what they are about by an hour, so
// each kind counts only while the pod's state still fits it.
func (l *reasonList) addPodEvents(s *podState, events []*corev1.Event) {
	events = slices.SortedFunc(slices.Values(events), compareEvents)
	for _, event := range events {
		if !fits(s, event, events) {
			continue
		}
		reason := api.Reason{Reason: event.Reason, Message: Steady(event.Message)}
		if reason.Reason == "" || reason.Message == "" {
			continue
		}
		reason.ResourceType, reason.IsResourceConstraint = quota(event.Message)
		l.add(rankOf(reason), reason, s.pod.Name)
	}
}

func fits(s *podState, event *corev1.Event, all []*corev1.Event) bool {
	switch event.Reason {
	case reasonFailedScheduling:
		return false // told from the condition, or in addUnscheduled
	case "BackOff", "Failed", "InspectFailed", "ErrImageNeverPull":
		return false // the container's state says the same, without the time until the next try
	case "FailedMount", "FailedAttachVolume", "FailedMapVolume":
		if vagueMount(event) {
			for _, other := range all {
				if other.Reason == event.Reason && !vagueMount(other) {
					return false
				}
			}
		}
		return !s.unscheduled && !s.started && len(s.faults) == 0
	case "FailedCreatePodSandBox", "NetworkNotReady", "FailedKillPod", "FailedSync":
		return !s.unscheduled && !s.started
	case "Unhealthy", "ProbeWarning", "ProbeError":
		return s.started && len(s.faults) == 0
	}
	return len(s.faults) == 0
}

// vagueMount tells the kubelet's summary, which names the volume only, from the message of the driver, which says why.
func vagueMount(event *corev1.Event) bool {
	return strings.HasPrefix(event.Message, "Unable to attach or mount volumes")
}

// stillTrue leaves out that pods could not be made where all are there: such warnings stay for an hour, also about a set of pods
// that another one has replaced.
func stillTrue(events []*corev1.Event, d *api.Deployment, current []currentPod) []*corev1.Event {
	wanted := d.Replicas.Desired
	if len(d.Roles) > 0 {
		wanted = 0
		for i := range d.Roles {
			wanted += d.Roles[i].Desired
		}
	}
	if len(current) < wanted {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), func(e *corev1.Event) bool {
		return e.InvolvedObject.Kind != d.Resource.Kind && strings.HasPrefix(e.Reason, "FailedCreate")
	})
}

// addEvents adds warnings about the custom resource and what was made from it.
func (l *reasonList) addEvents(events []*corev1.Event) {
	for _, event := range slices.SortedFunc(slices.Values(events), compareEvents) {
		reason := api.Reason{Reason: event.Reason, Message: Steady(event.Message)}
		if reason.Reason == "" || reason.Message == "" {
			continue
		}
		reason.ResourceType, reason.IsResourceConstraint = quota(event.Message)
		l.add(rankOf(reason), reason, "")
	}
}

// quota finds what a quota refuses: `exceeded quota: q, requested: requests.nvidia.com/gpu=1, used: …, limited: …`. More
// nodes do not help against a quota.
func quota(message string) (api.ReasonResourceType, bool) {
	_, rest, ok := strings.Cut(message, "exceeded quota")
	if !ok {
		return "", false
	}
	if _, requested, ok := strings.Cut(rest, "requested:"); ok {
		rest, _, _ = strings.Cut(requested, "used:")
	}
	return resourceType(strings.ToLower(rest)), true
}

// pullMessageFromEvents finds why an image cannot be pulled where the kubelet tells it in an event only.
func pullMessageFromEvents(events []*corev1.Event, fallback string) string {
	var newest *corev1.Event
	for _, event := range events {
		if event.Reason == "Failed" && strings.HasPrefix(event.Message, "Failed to pull image ") &&
			(newest == nil || compareEvents(event, newest) > 0) {
			newest = event
		}
	}
	if newest == nil {
		return fallback
	}
	if detail := pullDetail(newest.Message); detail != "" {
		return Steady(fallback + ": " + detail)
	}
	return fallback
}
