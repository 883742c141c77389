package runtimetest

import (
	"io/fs"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// Run holds a runtime to what is expected of every one.
func Run(t *testing.T, rt runtimes.Runtime, files fs.FS) {
	t.Run("info", func(t *testing.T) { info(t, rt) })
	for _, f := range Fixtures(t, files) {
		t.Run(f.Name, func(t *testing.T) {
			t.Run("projects", func(t *testing.T) { projects(t, rt, f) })
			t.Run("claims its pods", func(t *testing.T) { claims(t, rt, f) })
			t.Run("assembles", func(t *testing.T) { assembles(t, rt, f) })
			t.Run("stands still", func(t *testing.T) { standsStill(t, rt, f) })
			t.Run("terminates", func(t *testing.T) { terminates(t, rt, f) })
			t.Run("bears mutations", func(t *testing.T) { bearsMutations(t, rt, f) })
		})
	}
}

// An id stands in document ids and in URLs.
var id = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func info(t *testing.T, rt runtimes.Runtime) {
	i := rt.Info()
	require.Regexp(t, id, i.ID)
	require.NotEmpty(t, i.Name)
	require.Regexp(t, id, i.DefaultNamespace)
	require.NotEmpty(t, i.Resource.Group)
	require.NotEmpty(t, i.Resource.Plural)
	require.NotEmpty(t, i.Resource.Kind)
	require.NotEmpty(t, i.Resource.Versions)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(i.Resource.Versions))), len(i.Resource.Versions))
	require.NotEmpty(t, i.Operator.Label)
	require.NotEmpty(t, i.Operator.Values)
	require.Nil(t, rt.PodClaims(&corev1.Pod{}), "a pod of nothing")
	require.Empty(t, rt.PodRole(&corev1.Pod{}), "a pod of nothing")
}

// projects: a projection is a function of the object, and does not change it.
func projects(t *testing.T, rt runtimes.Runtime, f Fixture) {
	before := f.Object.DeepCopy()
	first := rt.Project(f.Object)
	require.Empty(t, cmp.Diff(before.Object, f.Object.Object), "the object was changed")
	require.Empty(t, cmp.Diff(first, rt.Project(f.Object)), "not the same twice")
	Valid(t, rt, first.Deployment)

	d := first.Deployment
	require.Equal(t, f.Object.GetName(), d.Name)
	require.Equal(t, f.Object.GetNamespace(), d.Namespace)
	require.Equal(t, rt.Info().Resource.CRD(), d.Resource.Resource+"."+d.Resource.Group)
	require.Equal(t, f.Object.GetKind(), d.Resource.Kind)
	require.Equal(t, f.Object.GroupVersionKind().Version, d.Resource.Version)
	require.Contains(t, rt.Info().Resource.Versions, d.Resource.Version)
	require.Equal(t, string(f.Object.GetUID()), d.Resource.Uid)
	require.True(t, f.Object.GetCreationTimestamp().UTC().Equal(d.CreatedAt))
	require.Empty(t, d.Pods)
	require.Zero(t, d.UpdatedAt)
}

// claims: the pods carry a claim of the deployment, those of others do not, and no other deployment has the same.
func claims(t *testing.T, rt runtimes.Runtime, f Fixture) {
	own := rt.Project(f.Object).Claims
	require.NotEmpty(t, own)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(own))), len(own), "claims twice")
	meets := func(pod *corev1.Pod) bool {
		return slices.ContainsFunc(rt.PodClaims(pod), func(claim string) bool { return slices.Contains(own, claim) })
	}
	for _, pod := range f.Pods {
		require.True(t, meets(pod), "pod %s is not claimed", pod.Name)
		require.NotEmpty(t, rt.PodRole(pod), "pod %s has no role", pod.Name)
		bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, OwnerReferences: pod.OwnerReferences}}
		require.Equal(t, rt.PodClaims(pod), rt.PodClaims(bare), "claims are read from labels and owners only")
	}
	for _, pod := range f.Others {
		require.False(t, meets(pod), "pod %s is of something else", pod.Name)
	}
	other := f.Object.DeepCopy()
	other.SetName(f.Object.GetName() + "-2")
	delete(other.Object, "status")
	for _, claim := range rt.Project(other).Claims {
		require.NotContains(t, own, claim, "two deployments of similar names")
	}
}

// assembles: the document is a function of the arguments, in any order, and they are not changed.
func assembles(t *testing.T, rt runtimes.Runtime, f Fixture) {
	p := rt.Project(f.Object)
	pods, events := copyPods(f.Pods), copyEvents(f.Events)
	first := runtimes.Assemble(rt, p, f.Pods, f.Events)
	Valid(t, rt, first)
	require.Equal(t, len(f.Pods), first.PodCount)
	require.Empty(t, cmp.Diff(rt.Project(f.Object), p), "the projection was changed")
	require.Empty(t, cmp.Diff(pods, f.Pods, cmpopts.EquateEmpty()), "a pod was changed")
	require.Empty(t, cmp.Diff(events, f.Events, cmpopts.EquateEmpty()), "an event was changed")

	random := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		random.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		require.Empty(t, cmp.Diff(first, runtimes.Assemble(rt, p, pods, events)), "the order matters")
	}
	alone := runtimes.Assemble(rt, p, nil, nil)
	Valid(t, rt, alone)
	require.Zero(t, alone.PodCount)
	if alone.Phase == api.PhasePending && alone.Replicas.Desired > 0 {
		require.NotEmpty(t, alone.Reasons, "pending for no reason")
	}
	for _, pod := range f.Pods {
		document := runtimes.PodDocument(rt, first.Id, pod)
		require.Equal(t, api.PodKey(pod.Namespace, pod.Name).ID, document.Id)
		require.Equal(t, first.Id, document.Deployment)
		require.True(t, document.Phase.Valid())
		require.NotNil(t, document.Containers)
	}
}

// standsStill: what only ticks does not change the document.
func standsStill(t *testing.T, rt runtimes.Runtime, f Fixture) {
	first := runtimes.Assemble(rt, rt.Project(f.Object), f.Pods, f.Events)
	var documents []api.Pod
	for _, pod := range f.Pods {
		documents = append(documents, runtimes.PodDocument(rt, first.Id, pod))
	}
	later := metav1.NewTime(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	object := f.Object.DeepCopy()
	object.SetResourceVersion("999999")
	object.SetGeneration(object.GetGeneration() + 1)
	setText(object, later.UTC().Format(time.RFC3339), "status", "lastUpdateTime")
	setText(object, later.UTC().Format(time.RFC3339), "status", "activeServiceStatus", "rayClusterStatus", "lastUpdateTime")
	pods := copyPods(f.Pods)
	for _, pod := range pods {
		pod.ResourceVersion = "999999"
		for i := range pod.Status.Conditions {
			pod.Status.Conditions[i].LastProbeTime = later
			pod.Status.Conditions[i].LastTransitionTime = later
		}
		tick(pod.Status.InitContainerStatuses, later)
		tick(pod.Status.ContainerStatuses, later)
	}
	events := copyEvents(f.Events)
	for _, event := range events {
		event.Count += 17
		event.LastTimestamp = later
		event.ResourceVersion = "999999"
	}
	require.Empty(t, cmp.Diff(first, runtimes.Assemble(rt, rt.Project(object), pods, events)))
	for i, pod := range pods {
		require.Empty(t, cmp.Diff(documents[i], runtimes.PodDocument(rt, first.Id, pod)))
	}
}

var backOff = regexp.MustCompile(`back-off \S+ restarting`)

func tick(statuses []corev1.ContainerStatus, later metav1.Time) {
	for i := range statuses {
		status := &statuses[i]
		if running := status.State.Running; running != nil {
			running.StartedAt = later
		}
		if waiting := status.State.Waiting; waiting != nil {
			waiting.Message = backOff.ReplaceAllString(waiting.Message, "back-off 2m40s restarting")
		}
		if last := status.LastTerminationState.Terminated; last != nil {
			last.StartedAt, last.FinishedAt, last.ContainerID = later, later, "containerd://another"
		}
	}
}

// terminates: an object that is being deleted is Terminating, whatever else is said of it.
func terminates(t *testing.T, rt runtimes.Runtime, f Fixture) {
	object := f.Object.DeepCopy()
	now := metav1.Now()
	object.SetDeletionTimestamp(&now)
	p := rt.Project(object)
	require.Equal(t, api.PhaseTerminating, p.Deployment.Phase)
	require.Equal(t, api.PhaseTerminating, runtimes.Assemble(rt, p, f.Pods, f.Events).Phase)
}

func setText(object *unstructured.Unstructured, value string, path ...string) {
	if _, found, err := unstructured.NestedFieldNoCopy(object.Object, path...); err == nil && found {
		_ = unstructured.SetNestedField(object.Object, value, path...)
	}
}

func copyPods(pods []*corev1.Pod) []*corev1.Pod {
	copies := make([]*corev1.Pod, len(pods))
	for i := range pods {
		copies[i] = pods[i].DeepCopy()
	}
	return copies
}

func copyEvents(events []*corev1.Event) []*corev1.Event {
	copies := make([]*corev1.Event, len(events))
	for i := range events {
		copies[i] = events[i].DeepCopy()
	}
	return copies
}
