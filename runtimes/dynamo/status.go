package dynamo

import (
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// readStatus is what Dynamo's operator says of a graph.
func readStatus(obj map[string]any, conditions []api.Condition) (api.Phase, string, []api.Reason) {
	phase := phase(obj, conditions)
	message, reasons := "", []api.Reason{}
	if phase == api.PhaseRunning {
		return phase, message, reasons
	}
	for i := range conditions {
		c := &conditions[i]
		if c.Status != "False" {
			continue
		}
		given := runtimes.OperatorReason(c.Reason, c.Type, c.Message)
		if c.Type == "Ready" && c.Reason == "insufficient_capacity" {
			for j := range given {
				given[j].IsResourceConstraint = true
			}
		}
		reasons = append(reasons, given...)
		if message == "" || c.Type == "Ready" {
			message = c.Message
		}
	}
	return phase, message, reasons
}

// phase reads status.state. Its default, initializing, stands there before any operator has looked at the object.
func phase(obj map[string]any, conditions []api.Condition) api.Phase {
	switch strings.ToLower(field.Text(obj, "status", "state")) {
	case "successful":
		return api.PhaseRunning
	case "failed":
		return api.PhaseFailed
	case "deploying":
		return api.PhaseDeploying
	case "pending":
		return api.PhasePending
	case "initializing":
		if len(conditions) > 0 {
			return api.PhaseDeploying
		}
		return api.PhasePending
	}
	switch strings.ToLower(field.Text(obj, "status", "phase")) { // of the first releases
	case "running", "ready", "successful":
		return api.PhaseRunning
	case "failed", "error":
		return api.PhaseFailed
	case "deploying", "initializing":
		return api.PhaseDeploying
	}
	if runtimes.FindCondition(conditions, "Ready").Status == "True" {
		return api.PhaseRunning
	}
	return api.PhasePending
}
