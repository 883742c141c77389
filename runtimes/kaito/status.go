package kaito

import (
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// status is what KAITO says of a Workspace.
type status struct {
	phase   api.Phase
	message string
	reasons []api.Reason
}

// Conditions that name a cause, the nearest to it first. WorkspaceSucceeded only sums the others up.
var causes = []string{
	"ModelMirrorReady", "NodeClaimReady", "MachineReady", "NodesReady", "ResourceReady", "InferenceReady", "JobStarted",
	"BenchmarkCompleted",
}

func readStatus(obj map[string]any, conditions []api.Condition) status {
	s := status{phase: phase(obj, conditions), reasons: []api.Reason{}}
	seen := ""
	for _, kind := range causes {
		c := runtimes.FindCondition(conditions, kind)
		if c.Status != "False" || c.Message != "" && c.Message == seen {
			continue
		}
		// Of a workspace that serves, only what has gone wrong for good is still worth saying.
		if s.phase == api.PhaseRunning && kind != "BenchmarkCompleted" {
			continue
		}
		s.reasons = append(s.reasons, runtimes.OperatorReason(c.Reason, c.Type, c.Message)...)
		if s.message == "" {
			s.message = c.Message
		}
		seen = c.Message
	}
	if sum := runtimes.FindCondition(conditions, "WorkspaceSucceeded"); sum.Status == "False" && s.phase == api.PhaseFailed {
		s.message = sum.Message
		if len(s.reasons) == 0 {
			s.reasons = append(s.reasons, runtimes.OperatorReason(sum.Reason, sum.Type, sum.Message)...)
		}
	}
	return s
}

func phase(obj map[string]any, conditions []api.Condition) api.Phase {
	is := func(kind, status string) bool { return runtimes.FindCondition(conditions, kind).Status == status }
	serving := is("InferenceReady", "True") && !is("ResourceReady", "False")
	state := field.Text(obj, "status", "state")
	switch state {
	case "Ready", "Succeeded", "Running": // the latter two are of tuning
		return api.PhaseRunning
	case "Failed":
		return api.PhaseFailed
	case "NotReady":
		// It was ready once. A benchmark that fails after the model is up leaves it NotReady, though it serves.
		if serving {
			return api.PhaseRunning
		}
		return api.PhaseDeploying
	case "Pending":
		return pendingOrDeploying(is)
	}
	// Until KAITO 0.9 there is no state, only conditions.
	sum := runtimes.FindCondition(conditions, "WorkspaceSucceeded")
	switch {
	case sum.Status == "True" && !is("InferenceReady", "False"):
		return api.PhaseRunning
	case sum.Status == "False" && strings.EqualFold(sum.Reason, "workspaceFailed"):
		return api.PhaseFailed
	case len(conditions) > 0:
		return pendingOrDeploying(is)
	}
	return legacyPhase(field.Text(obj, "status", "phase"))
}

// pendingOrDeploying tells a workspace that waits for its nodes from one that has them.
func pendingOrDeploying(is func(kind, status string) bool) api.Phase {
	if is("ResourceReady", "True") {
		return api.PhaseDeploying
	}
	return api.PhasePending
}

// legacyPhase reads status.phase, which no released KAITO writes but stand-ins and forks do.
func legacyPhase(phase string) api.Phase {
	switch strings.ToLower(phase) {
	case "running", "ready":
		return api.PhaseRunning
	case "deploying", "provisioning":
		return api.PhaseDeploying
	case "failed", "error":
		return api.PhaseFailed
	}
	return api.PhasePending
}
