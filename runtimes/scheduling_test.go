package runtimes_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

func TestSchedulingReasons(t *testing.T) {
	type cause struct {
		message  string
		resource api.ReasonResourceType
		helps    bool
	}
	for name, test := range map[string]struct {
		message string
		want    []cause
	}{
		"several causes": {
			"0/12 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {nvidia.com/gpu: present}, 7 node(s) didn't match Pod's node affinity/selector. preemption: 0/12 nodes are available: 3 No preemption victims found for incoming pod, 9 Preemption is not helpful for scheduling.",
			[]cause{
				{"Insufficient nvidia.com/gpu on 3 of 12 nodes", "gpu", true},
				{"had untolerated taint {nvidia.com/gpu: present} on 2 of 12 nodes", "", false},
				{"didn't match Pod's node affinity/selector on 7 of 12 nodes", "", false},
			},
		},
		"cpu and memory": {
			"0/2 nodes are available: 1 Insufficient memory, 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
			[]cause{{"Insufficient memory on 1 of 2 nodes", "memory", true}, {"Insufficient cpu on 2 of 2 nodes", "cpu", true}},
		},
		"other vendors": {
			"0/1 nodes are available: 1 Insufficient amd.com/gpu.",
			[]cause{{"Insufficient amd.com/gpu on 1 of 1 nodes", "gpu", true}},
		},
		"full nodes": {
			"0/1 nodes are available: 1 Too many pods.",
			[]cause{{"Too many pods on 1 of 1 nodes", "", true}},
		},
		"a taint with a comma": {
			"0/3 nodes are available: 3 node(s) had untolerated taint {a: b, c: d}, 1 node(s) had volume node affinity conflict.",
			[]cause{{"had untolerated taint {a: b, c: d} on 3 of 3 nodes", "", false}, {"had volume node affinity conflict on 1 of 3 nodes", "", false}},
		},
		"of no node": {
			"0/4 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
			[]cause{{"pod has unbound immediate PersistentVolumeClaims", "", false}},
		},
		"an empty cluster":        {"no nodes available to schedule pods", []cause{{"no nodes available to schedule pods", "", true}}},
		"another scheduler":       {"pod group is not ready, 1 Insufficient quota", []cause{{"pod group is not ready, 1 Insufficient quota", "", true}}},
		"nothing after the colon": {"0/3 nodes are available: ", []cause{{"0/3 nodes are available:", "", false}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []cause
			for _, r := range runtimes.SchedulingReasons(test.message) {
				require.Equal(t, "FailedScheduling", r.Reason)
				require.Equal(t, r.CanAutoscalerHelp, r.IsResourceConstraint)
				got = append(got, cause{r.Message, r.ResourceType, r.CanAutoscalerHelp})
			}
			require.Equal(t, test.want, got)
		})
	}
}

func FuzzSchedulingReasons(f *testing.F) {
	f.Add("0/12 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {a: b}. preemption: none")
	f.Add("0/1 nodes are available: , 1 , 2")
	f.Fuzz(func(t *testing.T, message string) {
		for _, r := range runtimes.SchedulingReasons(message) {
			require.Equal(t, runtimes.Steady(r.Message), r.Message)
			if strings.TrimSpace(message) != "" {
				require.NotEmpty(t, r.Message)
			}
		}
	})
}
