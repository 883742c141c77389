package runtimes

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// maxReasons bounds the reasons in a document.
const maxReasons = 16

// rank orders reasons: what nobody but a person can mend comes first.
type rank int

const (
	rankFault      rank = iota // images, crashes, configuration
	rankFailed                 // the operator has given up
	rankGPU                    // scheduling, by what is lacking
	rankCPU                    //
	rankMemory                 //
	rankScheduling             // taints, selectors
	rankVolume
	rankQuota
	rankOther
)

// reasonList collects reasons, each once, with the pods that it holds for.
type reasonList struct {
	entries []reasonEntry
	index   map[reasonKey]int
}

type reasonEntry struct {
	reason api.Reason
	rank   rank
	order  int // among those of one rank: operators name the nearest cause first
	pods   map[string]struct{}
}

type reasonKey struct{ reason, message string }

// add notes a reason; pod is empty where it is of no pod.
func (l *reasonList) add(rank rank, reason api.Reason, pod string) {
	l.addInOrder(rank, 0, reason, pod)
}

func (l *reasonList) addInOrder(rank rank, order int, reason api.Reason, pod string) {
	key := reasonKey{reason.Reason, reason.Message}
	if reason.Reason == reasonFailedScheduling {
		// Pods that are tried at different times see other numbers of nodes; the first one's words stand for all.
		if end := strings.LastIndex(reason.Message, " on "); end > 0 {
			key.message = reason.Message[:end]
		}
	}
	if l.index == nil {
		l.index = make(map[reasonKey]int, 4)
	}
	at, ok := l.index[key]
	if !ok {
		at = len(l.entries)
		l.index[key] = at
		l.entries = append(l.entries, reasonEntry{reason: reason, rank: rank, order: order})
	}
	entry := &l.entries[at]
	entry.rank = min(entry.rank, rank)
	if pod == "" {
		return
	}
	if entry.pods == nil {
		entry.pods = make(map[string]struct{}, 1)
	}
	entry.pods[pod] = struct{}{}
}

// has tells whether there is a reason of this name.
func (l *reasonList) has(name string) bool {
	for i := range l.entries {
		if l.entries[i].reason.Reason == name {
			return true
		}
	}
	return false
}

// explained tells whether something better is known than that the operator waits: what the pods say, or why they cannot be
// made.
func (l *reasonList) explained() bool {
	for i := range l.entries {
		if l.entries[i].rank < rankOther {
			return true
		}
	}
	return false
}

// sorted returns the reasons, most important first. Never nil.
func (l *reasonList) sorted() []api.Reason {
	slices.SortStableFunc(l.entries, func(a, b reasonEntry) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.order, b.order),
			cmp.Compare(a.reason.Reason, b.reason.Reason), cmp.Compare(a.reason.Message, b.reason.Message))
	})
	reasons := make([]api.Reason, 0, min(len(l.entries), maxReasons))
	for i := range l.entries[:min(len(l.entries), maxReasons)] {
		reason := l.entries[i].reason
		reason.Pods = len(l.entries[i].pods)
		reasons = append(reasons, reason)
	}
	return reasons
}

// rankOf ranks a reason that is known by its name and words only.
func rankOf(reason api.Reason) rank {
	switch reason.Reason {
	case reasonFailedScheduling:
		return schedulingRank(reason)
	case "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedBinding", "ProvisioningFailed":
		return rankVolume
	}
	if strings.Contains(reason.Message, "exceeded quota") {
		return rankQuota
	}
	return rankOther
}

func schedulingRank(reason api.Reason) rank {
	switch reason.ResourceType {
	case api.ReasonResourceTypeGpu:
		return rankGPU
	case api.ReasonResourceTypeCpu:
		return rankCPU
	case api.ReasonResourceTypeMemory:
		return rankMemory
	}
	if strings.Contains(strings.ToLower(reason.Message), "volume") {
		return rankVolume
	}
	return rankScheduling
}

// addPod adds what a pod says of itself.
func (l *reasonList) addPod(s *podState, events []*corev1.Event, complete bool) {
	if s.ready || s.deleting() || s.phase == api.PodPhaseSucceeded {
		return
	}
	name := s.pod.Name
	if s.phase == api.PodPhaseFailed {
		// Its controller makes another; it tells something only for as long as that one is not ready.
		if !complete && s.reason != "" {
			l.add(rankOther, api.Reason{Reason: s.reason, Message: orName(s.message, s.reason)}, name)
		}
		return
	}
	for _, f := range s.faults {
		rank := rankOther
		if f.fatal {
			rank = rankFault
		}
		message := f.message
		if f.vague {
			message = pullMessageFromEvents(events, message)
		}
		l.add(rank, api.Reason{Reason: f.reason, Message: message}, name)
	}
	if s.unscheduled {
		l.addUnscheduled(s, events)
	}
	l.addPodEvents(s, events)
}

func (l *reasonList) addUnscheduled(s *podState, events []*corev1.Event) {
	switch {
	case s.reason == corev1.PodReasonSchedulingGated:
		l.add(rankScheduling, api.Reason{Reason: s.reason, Message: orName(s.message, s.reason)}, s.pod.Name)
	case s.scheduling != "":
		l.addScheduling(s.scheduling, s.pod.Name)
		l.addRefusal(events, s.pod.Name)
	default:
		// The condition comes a moment after the event, and schedulers other than Kubernetes' own may leave it out.
		scheduler := slices.DeleteFunc(slices.Clone(events), func(e *corev1.Event) bool { return signed(e, karpenter) })
		if event := latest(scheduler, reasonFailedScheduling); event != nil {
			l.addScheduling(event.Message, s.pod.Name)
		}
		l.addRefusal(events, s.pod.Name)
	}
}

// karpenter signs the events in which it says why it adds no node for a pod. Its reason is the scheduler's.
const karpenter = "karpenter"

// addRefusal adds why Karpenter makes no node that the pod would fit on: more nodes would help, but there will be none.
func (l *reasonList) addRefusal(events []*corev1.Event, pod string) {
	var newest *corev1.Event
	for _, event := range events {
		if event.Reason == reasonFailedScheduling && signed(event, karpenter) && (newest == nil || compareEvents(event, newest) > 0) {
			newest = event
		}
	}
	if newest == nil {
		return
	}
	for i := range l.entries {
		if _, ok := l.entries[i].pods[pod]; ok && l.entries[i].reason.Reason == reasonFailedScheduling {
			l.entries[i].reason.CanAutoscalerHelp = false
		}
	}
	l.add(rankScheduling, api.Reason{Reason: "NoNodeAdded", Message: "Karpenter adds no node: " + Steady(newest.Message)}, pod)
}

func signed(event *corev1.Event, name string) bool {
	return event.Source.Component == name || event.ReportingController == name
}

func (l *reasonList) addScheduling(message, pod string) {
	for _, reason := range SchedulingReasons(message) {
		l.add(schedulingRank(reason), reason, pod)
	}
}

// sameAs names, for reasons that operators take from pods, the reason that the pods give themselves.
var sameAs = map[string]string{
	"Unschedulable":             reasonFailedScheduling, // KAITO
	"ImagePullError":            reasonImagePull,        // KAITO
	"ErrImagePull":              reasonImagePull,
	"ContainerCrashLoopBackOff": reasonCrashLoop,        // KAITO
	"ContainerOOMKilled":        reasonCrashLoop,        // KAITO
	"insufficient_capacity":     reasonFailedScheduling, // Dynamo
}

// addOperator adds what the operator gives as reasons, but for those that the pods have told better.
func (l *reasonList) addOperator(reasons []api.Reason, failed bool) {
	for i, reason := range reasons {
		if l.has(reason.Reason) || l.has(sameAs[reason.Reason]) {
			continue
		}
		if kind, ok := quota(reason.Message); ok {
			reason.ResourceType, reason.IsResourceConstraint = kind, true
		}
		rank := rankOf(reason)
		if failed {
			rank = rankFailed
		}
		l.addInOrder(rank, i+1, reason, "")
	}
}

func orName(message, name string) string {
	if message == "" {
		return name
	}
	return message
}
