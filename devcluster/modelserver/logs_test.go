package modelserver

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/devcluster/kubelet"
)

var _ kubelet.Logs = (*Fleet)(nil)

func linesOf(t *testing.T, fleet *Fleet, c kubelet.Container, after, until time.Time) []string {
	t.Helper()
	lines, err := fleet.Lines(t.Context(), c, after, until)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	last := time.Time{}
	for at, text := range lines {
		if at.Before(last) || strings.Contains(text, "\n") {
			t.Errorf("line %q at %s comes after %s", text, at, last)
		}
		last = at
		all = append(all, fmt.Sprint(at.UnixMicro(), " ", text))
	}
	return all
}

// Following is asking again: the pieces must give the whole, whatever their size.
func TestLogsInPiecesAreTheWhole(t *testing.T) {
	pods := append(append(graphPods(), rayPods()...), vllmPod("v", "10.64.0.1"), llamaPod("l", "10.64.0.3"),
		newPod("operator", "10.64.0.9", nil, corev1.Container{}))
	fleet := fleetOf(t, pods...)
	until := began.Add(3 * time.Minute)
	for _, pod := range pods {
		c := kubelet.Container{Namespace: pod.Namespace, Pod: pod.Name, Name: "main"}
		whole := linesOf(t, fleet, c, time.Time{}, until)
		if len(whole) < 4 {
			t.Errorf("%s says only %q", pod.Name, whole)
		}
		for _, step := range []time.Duration{700 * time.Millisecond, 13 * time.Second} {
			var pieces []string
			pieces = append(pieces, linesOf(t, fleet, c, time.Time{}, began)...)
			for at := began; at.Before(until); at = at.Add(step) {
				end := at.Add(step)
				if end.After(until) {
					end = until
				}
				pieces = append(pieces, linesOf(t, fleet, c, at, end)...)
			}
			if !slices.Equal(whole, pieces) {
				t.Errorf("%s in steps of %s: %d lines, the whole has %d", pod.Name, step, len(pieces), len(whole))
			}
		}
	}
}

func crashed(pod *corev1.Pod, reason string) *corev1.Pod {
	pod = unready(pod)
	status := &pod.Status.ContainerStatuses[0]
	status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
		ExitCode: 1, Reason: reason, StartedAt: metav1.NewTime(began), FinishedAt: metav1.NewTime(began.Add(time.Second)),
	}
	return pod
}

func TestLogsOfACrash(t *testing.T) {
	fleet := fleetOf(t, crashed(vllmPod("v", "10.64.0.1"), "Error"), crashed(vllmPod("oom", "10.64.0.2"), "OOMKilled"))
	for _, previous := range []bool{false, true} {
		all := linesOf(t, fleet, kubelet.Container{Namespace: "ml", Pod: "v", Name: "main", Previous: previous}, time.Time{}, began.Add(time.Hour))
		if len(all) == 0 || !strings.Contains(all[len(all)-1], "could not be initialised") {
			t.Errorf("previous %v: log ends with %q", previous, all)
		}
	}
	for _, line := range linesOf(t, fleet, kubelet.Container{Namespace: "ml", Pod: "oom", Name: "main"}, time.Time{}, began.Add(time.Hour)) {
		if strings.Contains(line, "Traceback") {
			t.Error("a container killed for its memory cannot say so")
		}
	}
}

func TestLogsThatAreNotThere(t *testing.T) {
	starting := unready(vllmPod("starting", "10.64.0.2"))
	starting.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}
	fleet := fleetOf(t, vllmPod("v", "10.64.0.1"), starting)
	for _, test := range []struct {
		name string
		c    kubelet.Container
		want error
	}{
		{"no pod", kubelet.Container{Namespace: "ml", Pod: "none", Name: "main"}, fs.ErrNotExist},
		{"no container", kubelet.Container{Namespace: "ml", Pod: "v", Name: "none"}, fs.ErrNotExist},
		{"no earlier run", kubelet.Container{Namespace: "ml", Pod: "v", Name: "main", Previous: true}, fs.ErrNotExist},
		{"not started", kubelet.Container{Namespace: "ml", Pod: "starting", Name: "main"}, fs.ErrInvalid},
	} {
		if _, err := fleet.Lines(t.Context(), test.c, time.Time{}, began); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
