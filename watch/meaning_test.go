package watch

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestMeaning(t *testing.T) {
	deployment := func(phase api.Phase, reasons ...api.Reason) any {
		return api.Deployment{Phase: phase, Reasons: reasons}
	}
	container := func(restarts int, reason string) any {
		return api.Pod{Containers: []api.Container{{Name: "model", Restarts: restarts, Reason: reason}}}
	}
	ended := func(reason string, code int32) *pod {
		return &pod{kept: &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "model", LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}},
		}}}}}
	}
	pools := func(list ...api.NodePool) any { return api.NodePools{NodePools: list} }
	loop := api.Reason{Reason: crashLoop, Pods: 2}
	d, p := api.DeploymentKey("ml", "kaito", "llama"), api.PodKey("ml", "llama-0")
	for _, tt := range []struct {
		name          string
		key           api.Key
		before, after any
		pod           *pod
		change        api.EventChange
		message       string
	}{
		{"new", d, nil, deployment(api.PhasePending), nil, api.EventCreated, "ml/kaito/llama is new"},
		{"gone", p, container(0, ""), nil, nil, api.EventDeleted, "ml/llama-0 is gone"},
		{"runs", d, deployment(api.PhasePending, loop), deployment(api.PhaseRunning, loop), nil, api.EventPhaseChanged, "Pending -> Running"},
		{"fails", d, deployment(api.PhaseDeploying), deployment(api.PhaseFailed, loop), nil, api.EventPhaseChanged, "Deploying -> Failed: CrashLoopBackOff in 2 pods"},
		{"same phase", d, deployment(api.PhasePending), deployment(api.PhasePending, loop), nil, api.EventChanged, "ml/kaito/llama changed"},
		{"restarted after an error", p, container(1, ""), container(2, ""), ended("OOMKilled", 137), api.EventPodCrashed, "container model ended: OOMKilled, exit code 137, restart 2"},
		{"restarted without a reason", p, container(1, ""), container(2, ""), ended("", 2), api.EventPodCrashed, "container model ended: exit code 2, restart 2"},
		{"restarted after success", p, container(1, ""), container(2, ""), ended("Completed", 0), api.EventChanged, "ml/llama-0 changed"},
		{"restarted, pod gone from the store", p, container(1, ""), container(2, ""), nil, api.EventChanged, "ml/llama-0 changed"},
		{"held back", p, container(1, ""), container(1, crashLoop), nil, api.EventPodCrashed, "container model: CrashLoopBackOff after 1 restart"},
		{"still held back", p, container(1, crashLoop), container(1, crashLoop), nil, api.EventChanged, "ml/llama-0 changed"},
		{"lost", api.CapacityKey(), api.GpuTotals{TotalGpus: 16}, api.GpuTotals{TotalGpus: 8}, nil, api.EventGPUsLost, "8 GPUs lost: 16 -> 8"},
		{"gained", api.CapacityKey(), api.GpuTotals{TotalGpus: 8}, api.GpuTotals{TotalGpus: 9}, nil, api.EventGPUsGained, "1 GPU more: 8 -> 9"},
		{"used", api.CapacityKey(), api.GpuTotals{TotalGpus: 8}, api.GpuTotals{TotalGpus: 8, AllocatedGpus: 1}, nil, api.EventChanged, "cluster changed"},
		{"pool lost GPUs", api.PoolsKey(), pools(api.NodePool{Name: "a", GpuCount: 8}), pools(api.NodePool{Name: "a"}), nil, api.EventChanged, "cluster changed"},
		{"no pool any more", api.PoolsKey(), pools(api.NodePool{Name: "a"}), pools(), nil, api.EventChanged, "cluster changed"},
		{"first pools", api.PoolsKey(), nil, pools(), nil, api.EventCreated, "cluster is new"},
		{"node", api.NodeKey("n"), api.Node{}, api.Node{Ready: true}, nil, api.EventChanged, "n changed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			change, message := meaning(tt.key, encoded(t, tt.before), encoded(t, tt.after), tt.pod)
			require.Equal(t, tt.change, change)
			require.Equal(t, tt.message, message)
		})
	}
}

func encoded(t *testing.T, doc any) []byte {
	t.Helper()
	if doc == nil {
		return nil
	}
	out, err := json.Marshal(doc)
	require.NoError(t, err)
	return out
}
