package stages

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	kwok "sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
)

// The tests of this file are not parallel: KWOK's stages share a cache of types that
// is not locked.

// player plays stages on an object as KWOK does, without waiting.
type player struct {
	stages lifecycle.Lifecycle
	render gotpl.Renderer
	ips    int
}

func newPlayer(t *testing.T, defined []*kwok.Stage) *player {
	t.Helper()
	p := &player{}
	var all []*internalversion.Stage
	for _, s := range defined {
		converted, err := internalversion.ConvertToInternalStage(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, converted)
	}
	stages, err := lifecycle.NewLifecycle(all)
	if err != nil {
		t.Fatal(err)
	}
	p.stages = stages
	p.render = gotpl.NewRenderer(gotpl.FuncMap{
		"NodeIPWith": func(string) string { return "10.255.255.1" },
		"PodIPWith": func(string, bool, string, string, string) string {
			p.ips++
			return fmt.Sprintf("10.0.0.%d", p.ips)
		},
	})
	return p
}

// step plays one stage and returns its name and delay; "" if none matches.
func step[T any](t *testing.T, p *player, object T, meta metav1.ObjectMeta) (T, string, time.Duration) {
	t.Helper()
	e := &lifecycle.Event{Labels: meta.Labels, Annotations: meta.Annotations, Data: object}
	possible, err := p.stages.ListAllPossible(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if len(possible) == 0 {
		return object, "", 0
	}
	if len(possible) > 1 {
		t.Fatalf("stages %s and %s both match: which one is played is chance", possible[0].Name(), possible[1].Name())
	}
	delay, _, err := possible[0].Delay(context.Background(), e, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(*internalversion.StageEvent) error { return nil }
	_, err = possible[0].DoSteps(0, nil, object, p.render, nothing, func() error { return nil },
		func(patch *lifecycle.Patch) error {
			before, err := json.Marshal(object)
			if err != nil {
				return err
			}
			after, err := strategicpatch.StrategicMergePatch(before, patch.Data, object)
			if err != nil {
				return err
			}
			object = *new(T)
			return json.Unmarshal(after, &object)
		}, nil)
	if err != nil {
		t.Fatalf("stage %s: %v", possible[0].Name(), err)
	}
	return object, possible[0].Name(), delay
}

func newPod(annotations map[string]string) *corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u", Annotations: annotations},
		Spec: corev1.PodSpec{
			NodeName:      "node",
			RestartPolicy: corev1.RestartPolicyAlways,
			InitContainers: []corev1.Container{
				{Name: "init", Image: "init:1"}, {Name: "sidecar", Image: "sidecar:1", RestartPolicy: &always},
			},
			Containers: []corev1.Container{{Name: "main", Image: "main:1"}, {Name: "other", Image: "other:1"}},
		},
		Status: corev1.PodStatus{
			Phase:      corev1.PodPending,
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}},
		},
	}
}

func describe(pod *corev1.Pod) string {
	ready := "?"
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			ready = string(c.Status)
		}
	}
	state := "?"
	restarts := int32(0)
	if len(pod.Status.ContainerStatuses) > 0 {
		c := pod.Status.ContainerStatuses[0]
		restarts = c.RestartCount
		switch {
		case c.State.Waiting != nil:
			state = c.State.Waiting.Reason
		case c.State.Running != nil:
			state = "Running"
		case c.State.Terminated != nil:
			state = c.State.Terminated.Reason
		}
		if c.LastTerminationState.Terminated != nil {
			state += fmt.Sprintf(" after exit %d", c.LastTerminationState.Terminated.ExitCode)
		}
	}
	return fmt.Sprintf("%s ready=%s %s restarts=%d", pod.Status.Phase, ready, state, restarts)
}

func TestPods(t *testing.T) {
	for name, tc := range map[string]struct {
		behaviour string
		change    func(*corev1.Pod)
		want      []string // each: stage, delay, description
	}{
		"ready": {want: []string{
			"pod-ready 0s: Running ready=True Running restarts=0",
		}},
		"slow": {behaviour: Slow, want: []string{
			"pod-creating 0s: Pending ready=False PodInitializing restarts=0",
			"pod-loading 500ms: Running ready=False Running restarts=0",
			"pod-loaded 15s: Running ready=True Running restarts=0",
		}},
		"slow with its own delay": {
			behaviour: Slow,
			change:    func(p *corev1.Pod) { p.Annotations[Delay] = "3s" },
			want: []string{
				"pod-creating 0s: Pending ready=False PodInitializing restarts=0",
				"pod-loading 500ms: Running ready=False Running restarts=0",
				"pod-loaded 3s: Running ready=True Running restarts=0",
			},
		},
		"stuck": {behaviour: Stuck, want: []string{
			"pod-stuck 0s: Pending ready=False PodInitializing restarts=0",
		}},
		"crash loop": {behaviour: CrashLoop, want: []string{
			"pod-creating 0s: Pending ready=False PodInitializing restarts=0",
			"pod-crashloop-starts 500ms: Running ready=False Running restarts=0",
			"pod-crashloop 1s: Running ready=False CrashLoopBackOff after exit 1 restarts=1",
			"pod-crashloop-restarts 10s: Running ready=False Running after exit 1 restarts=2",
			"pod-crashloop 1s: Running ready=False CrashLoopBackOff after exit 1 restarts=2",
			"pod-crashloop-restarts 20s: Running ready=False Running after exit 1 restarts=3",
			"pod-crashloop 1s: Running ready=False CrashLoopBackOff after exit 1 restarts=3",
			"pod-crashloop-restarts 40s: Running ready=False Running after exit 1 restarts=4",
		}},
		"out of memory": {behaviour: OOMKilled, want: []string{
			"pod-creating 0s: Pending ready=False PodInitializing restarts=0",
			"pod-oomkilled-starts 500ms: Running ready=False Running restarts=0",
			"pod-oomkilled 1s: Running ready=False CrashLoopBackOff after exit 137 restarts=1",
		}},
		"image": {behaviour: ImagePull, want: []string{
			"pod-creating 0s: Pending ready=False PodInitializing restarts=0",
			"pod-pull-failed 1s: Pending ready=False ErrImagePull restarts=0",
			"pod-pull-waits 2s: Pending ready=False ImagePullBackOff restarts=0",
			"pod-pull-again 1m0s: Pending ready=False ErrImagePull restarts=0",
			"pod-pull-waits 2s: Pending ready=False ImagePullBackOff restarts=0",
		}},
		"job": {
			change: func(p *corev1.Pod) { p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job"}} },
			want: []string{
				"pod-ready 0s: Running ready=True Running restarts=0",
				"pod-complete 1s: Succeeded ready=False Completed restarts=0",
			},
		},
		"failing job": {
			behaviour: CrashLoop,
			change: func(p *corev1.Pod) {
				p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job"}}
				p.Spec.RestartPolicy = corev1.RestartPolicyNever
			},
			want: []string{
				"pod-creating 0s: Pending ready=False PodInitializing restarts=0",
				"pod-crashloop-starts 500ms: Running ready=False Running restarts=0",
				"pod-crashloop-fails 1s: Failed ready=False Error restarts=0",
			},
		},
		"deleted": {
			behaviour: CrashLoop,
			change: func(p *corev1.Pod) {
				now := metav1.Now()
				p.DeletionTimestamp = &now
			},
			want: []string{"pod-delete 0s: Pending ready=? ? restarts=0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlayer(t, Pods())
			pod := newPod(map[string]string{Behaviour: tc.behaviour})
			if tc.change != nil {
				tc.change(pod)
			}
			for i, want := range tc.want {
				var stage string
				var delay time.Duration
				pod, stage, delay = step(t, p, pod, pod.ObjectMeta)
				if got := fmt.Sprintf("%s %s: %s", stage, delay, describe(pod)); got != want {
					t.Fatalf("step %d:\n got %s\nwant %s", i, got, want)
				}
			}
			if p.ips > 1 {
				t.Errorf("the pod was given %d addresses, want one", p.ips)
			}
		})
	}
}

func TestPodChangesItsBehaviour(t *testing.T) {
	p := newPlayer(t, Pods())
	pod, _, _ := step(t, p, newPod(map[string]string{}), metav1.ObjectMeta{})
	if len(pod.Status.InitContainerStatuses) != 2 || pod.Status.InitContainerStatuses[0].State.Terminated == nil ||
		pod.Status.InitContainerStatuses[1].State.Running == nil {
		t.Errorf("init containers: %+v", pod.Status.InitContainerStatuses)
	}
	since := pod.Status.ContainerStatuses[1].State.Running.StartedAt
	pod.Annotations = map[string]string{Behaviour: CrashLoop, Message: "CUDA out of memory"}
	pod, stage, _ := step(t, p, pod, pod.ObjectMeta)
	main, other := pod.Status.ContainerStatuses[0], pod.Status.ContainerStatuses[1]
	if stage != "pod-crashloop" || main.LastTerminationState.Terminated.Message != "CUDA out of memory" {
		t.Errorf("stage %s, last state %+v", stage, main.LastTerminationState)
	}
	if !other.Ready || other.State.Running.StartedAt.Unix() != since.Unix() {
		t.Errorf("the other container did not just run on: %+v", other)
	}
	pod.Annotations[Behaviour] = Ready
	pod, stage, _ = step(t, p, pod, pod.ObjectMeta)
	if got := describe(pod); stage != "pod-recovered" || got != "Running ready=True Running after exit 1 restarts=1" {
		t.Errorf("stage %s: %s", stage, got)
	}
	if _, stage, _ := step(t, p, pod, pod.ObjectMeta); stage != "" {
		t.Errorf("stage %s on a pod that is ready: it would be patched for ever", stage)
	}
}

func TestNodes(t *testing.T) {
	p := newPlayer(t, Nodes())
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "by-hand", Annotations: map[string]string{}}}
	node, stage, _ := step(t, p, node, node.ObjectMeta)
	if stage != "node-ready" || node.Status.Allocatable.Cpu().Value() != 32 || node.Status.DaemonEndpoints.KubeletEndpoint.Port != 10250 {
		t.Errorf("stage %s, status %+v", stage, node.Status)
	}
	if _, stage, _ := step(t, p, node, node.ObjectMeta); stage != "" {
		t.Errorf("stage %s on a node that is ready: it would be patched for ever", stage)
	}
	node.Annotations = map[string]string{Behaviour: NotReady}
	node, stage, _ = step(t, p, node, node.ObjectMeta)
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionFalse {
			t.Errorf("stage %s left the node ready", stage)
		}
	}
	if stage != "node-not-ready" {
		t.Errorf("stage %s", stage)
	}
}
