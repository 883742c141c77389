package runtimes

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

const reasonFailedScheduling = "FailedScheduling"

// schedulerMessage is what kube-scheduler says of a pod that fits nowhere. Each cause stands for a number of nodes:
//
//	0/12 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {a: b}, 7 node(s) didn't match
//	Pod's node affinity/selector. preemption: 0/12 nodes are available: …
var schedulerMessage = regexp.MustCompile(`(?s)^\d+/(\d+) nodes are available:? ?(.*)$`)

// SchedulingReasons splits a scheduler's message into its causes, in its order. A message of another form is one cause.
func SchedulingReasons(message string) []api.Reason {
	message = strings.TrimSpace(message)
	match := schedulerMessage.FindStringSubmatch(message)
	if match == nil {
		return []api.Reason{schedulingReason(Steady(message), message)}
	}
	nodes, rest := match[1], match[2]
	for _, end := range []string{"preemption:", ". no new claims to deallocate", ". not found"} {
		rest, _, _ = strings.Cut(rest, end)
	}
	var reasons []api.Reason
	for _, cause := range splitCauses(strings.TrimRight(rest, ". \n")) {
		count, text := cutCount(cause)
		if text == "" {
			continue
		}
		words := text
		if count != "" {
			words = fmt.Sprintf("%s on %s of %s nodes", strings.TrimPrefix(text, "node(s) "), count, nodes)
		}
		reasons = append(reasons, schedulingReason(Steady(words), text))
	}
	if len(reasons) == 0 {
		return []api.Reason{schedulingReason(Steady(message), message)}
	}
	return reasons
}

// splitCauses cuts at the commas between causes, each of which starts with a number. A taint may hold commas of its own.
func splitCauses(s string) []string {
	var causes []string
	start := 0
	for i := 0; i+2 < len(s); i++ {
		if s[i] != ',' || s[i+1] != ' ' {
			continue
		}
		if count, _ := cutCount(s[i+2:]); count != "" {
			causes = append(causes, s[start:i])
			start = i + 2
		}
	}
	return append(causes, s[start:])
}

// cutCount takes the number of nodes off a cause.
func cutCount(cause string) (count, text string) {
	cause = strings.TrimSpace(cause)
	i := 0
	for i < len(cause) && cause[i] >= '0' && cause[i] <= '9' {
		i++
	}
	if i == 0 || i >= len(cause) || cause[i] != ' ' {
		return "", cause
	}
	return cause[:i], cause[i+1:]
}

// schedulingReason judges one cause. More nodes help where nodes lack a resource. Where they are tainted, do not match or
// hold the wrong volume, nodes of another kind would be needed, and nothing tells whether an autoscaler has any.
func schedulingReason(message, cause string) api.Reason {
	lower := strings.ToLower(cause)
	r := api.Reason{Reason: reasonFailedScheduling, Message: message}
	switch {
	case strings.Contains(lower, "insufficient "), strings.Contains(lower, "too many pods"):
		r.IsResourceConstraint, r.CanAutoscalerHelp = true, true
		r.ResourceType = resourceType(lower)
	case strings.Contains(lower, "no nodes available to schedule"):
		r.IsResourceConstraint, r.CanAutoscalerHelp = true, true
	}
	return r
}

// resourceType finds which resource a lower-case message speaks of. A GPU is a resource of any vendor that calls it so.
func resourceType(lower string) api.ReasonResourceType {
	switch {
	case strings.Contains(lower, "/gpu"), strings.Contains(lower, "/mig-"), strings.Contains(lower, "gpu.intel.com/"):
		return api.ReasonResourceTypeGpu
	case strings.Contains(lower, "cpu"):
		return api.ReasonResourceTypeCpu
	case strings.Contains(lower, "memory"):
		return api.ReasonResourceTypeMemory
	}
	return ""
}
