package watch

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

// meaning tells what a change of a document is, and says it in a line.
func meaning(key api.Key, before, after []byte, p *pod) (api.EventChange, string) {
	switch {
	case before == nil:
		return api.EventCreated, key.ID + " is new"
	case after == nil:
		return api.EventDeleted, key.ID + " is gone"
	}
	change, message := api.EventChanged, ""
	switch key.Kind {
	case api.KindDeployments:
		change, message = compare(before, after, phases)
	case api.KindPods:
		change, message = compare(before, after, func(old, now api.Pod) (api.EventChange, string) { return crashed(old, now, p) })
	case api.KindCapacity:
		change, message = compare(before, after, totals)
	case api.KindOperations:
		change, message = compare(before, after, ends)
	default:
	}
	if message == "" {
		return api.EventChanged, key.ID + " changed"
	}
	return change, message
}

func compare[T any](before, after []byte, with func(old, now T) (api.EventChange, string)) (api.EventChange, string) {
	var old, now T
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &now) != nil {
		return api.EventChanged, ""
	}
	return with(old, now)
}

func phases(old, now api.Deployment) (api.EventChange, string) {
	if old.Phase == now.Phase {
		return api.EventChanged, ""
	}
	message := fmt.Sprintf("%s -> %s", old.Phase, now.Phase)
	if now.Phase != api.PhaseRunning && len(now.Reasons) > 0 {
		message += ": " + now.Reasons[0].Reason
		if n := now.Reasons[0].Pods; n > 0 {
			message += " in " + counted(n, "pod")
		}
	}
	return api.EventPhaseChanged, message
}

const crashLoop = "CrashLoopBackOff"

// crashed tells whether a container ended with an error: it was started again since, or is being held back.
func crashed(old, now api.Pod, p *pod) (api.EventChange, string) {
	states := map[string]api.Container{}
	for _, c := range old.Containers {
		states[c.Name] = c
	}
	for _, c := range now.Containers {
		was := states[c.Name]
		if c.Restarts > was.Restarts {
			if end := lastEnd(p, c.Name); end != nil && end.ExitCode != 0 {
				return api.EventPodCrashed, fmt.Sprintf("container %s ended: %s, restart %d", c.Name, spoken(end), c.Restarts)
			}
		}
		if c.Reason == crashLoop && was.Reason != crashLoop {
			return api.EventPodCrashed, fmt.Sprintf("container %s: %s after %s", c.Name, crashLoop, counted(c.Restarts, "restart"))
		}
	}
	return api.EventChanged, ""
}

// lastEnd is how a container ended before it was started again.
func lastEnd(p *pod, container string) *corev1.ContainerStateTerminated {
	if p == nil || p.kept == nil {
		return nil
	}
	for _, statuses := range [][]corev1.ContainerStatus{p.kept.Status.ContainerStatuses, p.kept.Status.InitContainerStatuses} {
		for i := range statuses {
			if statuses[i].Name == container {
				return statuses[i].LastTerminationState.Terminated
			}
		}
	}
	return nil
}

func spoken(end *corev1.ContainerStateTerminated) string {
	if end.Reason == "" {
		return fmt.Sprintf("exit code %d", end.ExitCode)
	}
	return fmt.Sprintf("%s, exit code %d", end.Reason, end.ExitCode)
}

func totals(old, now api.GpuTotals) (api.EventChange, string) {
	switch {
	case now.TotalGpus < old.TotalGpus:
		return api.EventGPUsLost, fmt.Sprintf("%s lost: %d -> %d", counted(old.TotalGpus-now.TotalGpus, "GPU"), old.TotalGpus, now.TotalGpus)
	case now.TotalGpus > old.TotalGpus:
		return api.EventGPUsGained, fmt.Sprintf("%s more: %d -> %d", counted(now.TotalGpus-old.TotalGpus, "GPU"), old.TotalGpus, now.TotalGpus)
	}
	return api.EventChanged, ""
}

func ends(old, now api.Operation) (api.EventChange, string) {
	if operations.Over(old) || !operations.Over(now) {
		return api.EventChanged, ""
	}
	return api.EventOperationFinished, fmt.Sprintf("%s of %s: %s: %s", now.Kind, now.Target, now.Phase, now.Message)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
