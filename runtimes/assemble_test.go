package runtimes_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// fake is a runtime whose pods tell their role in a label.
type fake struct{ runtimes.Runtime }

func (fake) Info() runtimes.Info { return runtimes.Info{ID: "fake"} }

func (fake) Project(*unstructured.Unstructured) runtimes.Projection { return runtimes.Projection{} }

func (fake) PodClaims(pod *corev1.Pod) []string { return []string{pod.Labels["version"]} }

func (fake) PodRole(pod *corev1.Pod) string { return pod.Labels["role"] }

// projection is of a deployment with a number of workers, a frontend, and the phase that its operator gives.
func projection(phase api.Phase, workers int) runtimes.Projection {
	d := api.Deployment{
		Name: "d", Namespace: "ml", Phase: phase, Message: "the operator's words",
		Resource:   api.ResourceRef{Kind: "Fake", Uid: "1"},
		Conditions: []api.Condition{{Type: "Ready", Status: "False"}},
		Roles: []api.Role{
			{Name: runtimes.RoleWorker, Desired: workers, GpusPerReplica: 1},
			{Name: runtimes.RoleFrontend, Desired: 1},
		},
	}
	runtimes.Sum(&d)
	return runtimes.Projection{Deployment: d, CountPods: true}
}

// pod makes a pod in a state that has a name below.
func pod(name, role, state string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ml", Labels: map[string]string{"role": role}}}
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: "registry/image:1"}}
	p.Spec.NodeName = "node"
	p.Status.Phase = corev1.PodPending
	status := corev1.ContainerStatus{Name: "main"}
	failed := &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
	waiting := func(reason, message string) {
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
	}
	switch state {
	case "ready":
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		status.Ready = true
		status.State.Running = &corev1.ContainerStateRunning{}
	case "starting":
		p.Status.Phase = corev1.PodRunning
		status.State.Running = &corev1.ContainerStateRunning{}
	case "creating":
		waiting("ContainerCreating", "")
	case "back-off":
		p.Status.Phase = corev1.PodRunning
		status.RestartCount = 4
		status.LastTerminationState.Terminated = failed
		waiting("CrashLoopBackOff", "back-off 1m20s restarting failed container=main pod="+name+"_ml(uid)")
	case "crashing again":
		p.Status.Phase = corev1.PodRunning
		status.RestartCount = 4
		status.LastTerminationState.Terminated = failed
		status.State.Running = &corev1.ContainerStateRunning{}
	case "crashed":
		p.Status.Phase = corev1.PodRunning
		status.RestartCount = 4
		status.LastTerminationState.Terminated = failed
		status.State.Terminated = failed
	case "crashed once":
		p.Status.Phase = corev1.PodRunning
		status.State.Terminated = failed
	case "pulling":
		waiting("ErrImagePull", "rpc error: not found")
	case "pull back-off":
		waiting("ImagePullBackOff", `Back-off pulling image "registry/image:1": ErrImagePull: rpc error: not found`)
	case "unschedulable":
		p.Spec.NodeName = ""
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
			Message: "0/2 nodes are available: 2 Insufficient cpu, 1 Insufficient memory, 2 Insufficient nvidia.com/gpu.",
		}}
		return p
	case "evicted":
		p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "The node was low on resource: memory."
		return p
	default:
		panic(state)
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	return p
}

func TestAssemblePhase(t *testing.T) {
	const pending, deploying, running, failed = api.PhasePending, api.PhaseDeploying, api.PhaseRunning, api.PhaseFailed
	for _, test := range []struct {
		operator api.Phase
		workers  []string // states of two desired workers
		frontend string
		want     api.Phase
		reason   string // the first
	}{
		{pending, nil, "", pending, "NoPods"},
		{running, nil, "", running, ""}, // pods may not be known
		{running, []string{"ready", "ready"}, "ready", running, ""},
		{running, []string{"ready", "back-off"}, "ready", running, "CrashLoopBackOff"},
		{running, []string{"starting", "starting"}, "ready", deploying, "NoReadyPods"},
		{running, []string{"back-off", "starting"}, "ready", failed, "CrashLoopBackOff"},
		{running, []string{"unschedulable", "unschedulable"}, "ready", pending, "FailedScheduling"},
		{running, []string{"evicted", "creating"}, "ready", deploying, "Evicted"},
		{running, []string{"evicted", "ready", "ready"}, "ready", running, ""}, // replaced
		{deploying, []string{"ready", "ready"}, "ready", deploying, ""},        // the operator waits for more than pods
		{deploying, []string{"unschedulable"}, "ready", pending, "FailedScheduling"},
		{deploying, []string{"unschedulable", "starting"}, "ready", deploying, "FailedScheduling"},
		{deploying, []string{"crashed once"}, "", deploying, "Error"},
		{deploying, []string{"starting"}, "back-off", failed, "CrashLoopBackOff"},
		{deploying, []string{"ready"}, "back-off", deploying, "CrashLoopBackOff"},
		{pending, []string{"creating"}, "", deploying, ""},
		{pending, []string{"ready", "starting"}, "", deploying, ""},
		{pending, []string{"pulling"}, "", failed, "ImagePullBackOff"},
		{failed, []string{"ready", "ready"}, "ready", failed, ""},
		{api.PhaseTerminating, []string{"back-off"}, "", api.PhaseTerminating, "CrashLoopBackOff"},
	} {
		t.Run(fmt.Sprint(test.operator, test.workers, test.frontend), func(t *testing.T) {
			var pods []*corev1.Pod
			for i, state := range test.workers {
				pods = append(pods, pod(fmt.Sprint("worker-", i), "worker", state))
			}
			if test.frontend != "" {
				pods = append(pods, pod("frontend", "frontend", test.frontend))
			}
			d := runtimes.Assemble(fake{}, projection(test.operator, 2), pods, nil)
			require.Equal(t, test.want, d.Phase)
			if test.reason == "" {
				require.Empty(t, d.Reasons)
			} else {
				require.NotEmpty(t, d.Reasons)
				require.Equal(t, test.reason, d.Reasons[0].Reason)
			}
		})
	}
}

// A container that crash-loops goes through three states with each try, and one whose image cannot be pulled through two. The
// documents do not follow.
func TestAssembleDoesNotFollowRetries(t *testing.T) {
	for _, states := range [][]string{{"back-off", "crashing again", "crashed"}, {"pulling", "pull back-off"}} {
		var documents []api.Deployment
		var pods []api.Pod
		for _, state := range states {
			p := pod("worker", "worker", state)
			documents = append(documents, runtimes.Assemble(fake{}, projection(api.PhaseDeploying, 1), []*corev1.Pod{p}, nil))
			document := runtimes.PodDocument(fake{}, "id", p)
			document.Containers[0].State = "" // that one is told as it is
			pods = append(pods, document)
		}
		for i := range states {
			require.Equal(t, api.PhaseFailed, documents[i].Phase)
			require.Empty(t, cmp.Diff(documents[0], documents[i]), states[i])
			require.Empty(t, cmp.Diff(pods[0], pods[i]), states[i])
		}
	}
}

func TestAssembleReasons(t *testing.T) {
	var pods []*corev1.Pod
	for i, state := range []string{"unschedulable", "unschedulable", "pull back-off", "back-off", "back-off", "crashed once"} {
		pods = append(pods, pod(fmt.Sprint("p", i), "worker", state))
	}
	p := projection(api.PhaseDeploying, 6)
	p.Deployment.Reasons = []api.Reason{
		{Reason: "Unschedulable", Message: "told better by the pods"},
		{Reason: "SomethingElse", Message: "first of the operator's"},
		{Reason: "AndThis", Message: "second of the operator's"},
	}
	warning := func(kind, name, uid, reason, message string) *corev1.Event {
		return &corev1.Event{
			Type: corev1.EventTypeWarning, Reason: reason, Message: message,
			InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name, UID: types.UID(uid)},
		}
	}
	events := []*corev1.Event{
		warning("Fake", "d", "1", "FailedCreate", `pods "d-x7k" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=8, limited: requests.nvidia.com/gpu=8`),
		warning("Fake", "d", "1", "FailedCreate", `pods "d-p2q" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=8, limited: requests.nvidia.com/gpu=8`),
		warning("Fake", "d", "2", "Old", "of an object of this name before"),
		warning("Fake", "e", "", "Other", "of another object"),
		warning("Pod", "p3", "", "BackOff", "Back-off restarting failed container"),
		warning("Pod", "elsewhere", "", "FailedMount", "of another pod"),
		nil,
	}
	events = append(events, warning("Fake", "d", "1", "Normal", "all is well"))
	events[len(events)-1].Type = corev1.EventTypeNormal

	type line struct {
		reason, message string
		pods            int
	}
	var got []line
	for _, r := range runtimes.Assemble(fake{}, p, pods, events).Reasons {
		got = append(got, line{r.Reason, r.Message, r.Pods})
	}
	require.Equal(t, []line{
		{"CrashLoopBackOff", `container "main": ended with exit code 1`, 2},
		{"ImagePullBackOff", `image "registry/image:1" cannot be pulled: rpc error: not found`, 1},
		{"FailedScheduling", "Insufficient nvidia.com/gpu on 2 of 2 nodes", 2},
		{"FailedScheduling", "Insufficient cpu on 2 of 2 nodes", 2},
		{"FailedScheduling", "Insufficient memory on 1 of 2 nodes", 2},
		{"FailedCreate", "pods is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=8, limited: requests.nvidia.com/gpu=8", 0},
		{"Error", `container "main": ended with exit code 1`, 1},
		{"SomethingElse", "first of the operator's", 0},
		{"AndThis", "second of the operator's", 0},
	}, got)
}

// Only pods of the version that serves count as replicas.
func TestAssembleServing(t *testing.T) {
	p := projection(api.PhaseRunning, 2)
	p.Serving = "old"
	pods := []*corev1.Pod{pod("a", "worker", "ready"), pod("b", "worker", "ready"), pod("c", "worker", "ready")}
	pods[0].Labels["version"], pods[1].Labels["version"], pods[2].Labels["version"] = "old", "new", "new"
	d := runtimes.Assemble(fake{}, p, pods, nil)
	require.Equal(t, api.Replicas{Desired: 2, Ready: 1, Available: 1}, d.Replicas)
	require.Equal(t, 3, d.PodCount)

	gone := metav1.NewTime(time.Unix(1, 0))
	pods[0].DeletionTimestamp = &gone
	d = runtimes.Assemble(fake{}, p, pods, nil)
	require.Zero(t, d.Replicas.Ready)
	require.Equal(t, "Terminating", d.Pods[0].Reason)
}

func TestAssembleManyPods(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 40 {
		pods = append(pods, pod(fmt.Sprintf("p%02d", 39-i), "worker", "ready"))
	}
	d := runtimes.Assemble(fake{}, projection(api.PhaseRunning, 40), pods, nil)
	require.Equal(t, 40, d.PodCount)
	require.Len(t, d.Pods, runtimes.MaxPods)
	require.Equal(t, "p00", d.Pods[0].Name)
	require.Equal(t, 40, d.Replicas.Ready)
	require.Equal(t, "p39", pods[0].Name, "the pods were not sorted in place")
}
