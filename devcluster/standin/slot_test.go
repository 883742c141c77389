package standin

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPlanPods(t *testing.T) {
	owner := metav1.OwnerReference{Name: "w", UID: "w"}
	present := newTemplate(nil, nil, nil, true, corev1.PodSpec{Containers: []corev1.Container{{Image: "new"}}})
	in := func(id, state, hash string) *corev1.Pod {
		pod := podIn(state, nil)
		pod.Name = id + "-" + state
		pod.Annotations[slotAnnotation], pod.Annotations[hashAnnotation] = id, hash
		return pod
	}
	slots := func(n int, stable bool) []slot {
		var list []slot
		for i := range n {
			list = append(list, slot{id: fmt.Sprint(i), prefix: fmt.Sprintf("w-%d", i), stable: stable, template: present})
		}
		return list
	}
	for _, test := range []struct {
		name   string
		slots  []slot
		pods   []*corev1.Pod
		create int
		remove []string
	}{
		{"new", slots(2, false), nil, 2, nil},
		{"full", slots(1, false), []*corev1.Pod{in("0", "ready", present.hash)}, 0, nil},
		{"scaled down", slots(1, false), []*corev1.Pod{in("0", "ready", present.hash), in("1", "slow", present.hash)}, 0, []string{"1-slow"}},
		{"a leaving pod is replaced at once", slots(1, false), []*corev1.Pod{in("0", "leaving", present.hash)}, 1, nil},
		{"but not where names are kept", slots(1, true), []*corev1.Pod{in("0", "leaving", present.hash)}, 0, nil},
		{"an old pod goes when the others are ready", slots(2, false), []*corev1.Pod{in("0", "ready", "old"), in("1", "ready", "old")}, 0, []string{"0-ready"}},
		{"and waits while they are not", slots(2, false), []*corev1.Pod{in("0", "slow", present.hash), in("1", "ready", "old")}, 0, nil},
		{"a broken old pod goes at once", slots(2, false), []*corev1.Pod{in("0", "crashloop", "old"), in("1", "ready", "old")}, 0, []string{"0-crashloop"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := planPods(owner, "ml", test.slots, test.pods)
			var removed []string
			for _, pod := range plan.remove {
				removed = append(removed, pod.Name)
			}
			if len(plan.create) != test.create || !slices.Equal(removed, test.remove) {
				t.Errorf("creates %d and removes %v, want %d and %v", len(plan.create), removed, test.create, test.remove)
			}
		})
	}
}

// Two reconciles that see the same must not make two pods, and a replacement has
// to have a name of its own.
func TestPodNames(t *testing.T) {
	owner := metav1.OwnerReference{UID: "w"}
	s := slot{id: "0", prefix: "w-", template: newTemplate(nil, nil, nil, true, corev1.PodSpec{})}
	first := s.podName(owner, nil)
	if first != s.podName(owner, nil) {
		t.Error("the same view gives two names")
	}
	if first == s.podName(owner, podIn("leaving", nil)) {
		t.Error("a replacement has the name of its predecessor")
	}
}

func TestFate(t *testing.T) {
	resource := map[string]string{Behaviour: "crashloop", Hold: "1m", "other": "x"}
	if got := inherit(nil, resource, true); !reflect.DeepEqual(got, map[string]string{Behaviour: "crashloop"}) {
		t.Errorf("a worker gets %v", got)
	}
	if got := inherit(nil, resource, false); len(got) != 0 {
		t.Errorf("a frontend gets %v", got)
	}
	if got := inherit(map[string]string{Behaviour: "slow"}, resource, true); got[Behaviour] != "slow" {
		t.Errorf("the template does not win: %v", got)
	}
	a := newTemplate(nil, map[string]string{Behaviour: "slow"}, nil, true, corev1.PodSpec{})
	b := newTemplate(nil, nil, nil, true, corev1.PodSpec{})
	if a.hash != b.hash {
		t.Error("a change of behaviour would replace the pods")
	}
	if until := heldUntil(resource, noon); !until.Equal(noon.Add(time.Minute)) {
		t.Errorf("held until %s", until)
	}
}

func TestDifference(t *testing.T) {
	old := map[string]any{"same": int64(1), "gone": "x", "deep": map[string]any{"a": int64(1), "b": int64(2)}, "list": []any{int64(1)}}
	want := map[string]any{"same": int64(1), "new": "y", "deep": map[string]any{"a": int64(1), "b": int64(3)}, "list": []any{int64(2)}}
	got := difference(old, want)
	if !reflect.DeepEqual(got, map[string]any{"gone": nil, "new": "y", "deep": map[string]any{"b": int64(3)}, "list": []any{int64(2)}}) {
		t.Errorf("difference is %v", got)
	}
	if len(difference(want, want)) != 0 {
		t.Error("a map differs from itself")
	}
}
