package capacity_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

func asks(gpus int64) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)},
	}}
}

func limited(gpus int64) corev1.Container {
	c := asks(gpus)
	c.Resources.Limits, c.Resources.Requests = c.Resources.Requests, nil
	return c
}

func sidecar(gpus int64) corev1.Container {
	c, always := asks(gpus), corev1.ContainerRestartPolicyAlways
	c.RestartPolicy = &always
	return c
}

func TestPodGPUs(t *testing.T) {
	both := asks(2)
	both.Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("7")}
	other := func(name corev1.ResourceName, gpus string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{name: resource.MustParse(gpus)}}}
	}
	for name, tt := range map[string]struct {
		init, containers []corev1.Container
		want             int
	}{
		"nothing":                          {nil, []corev1.Container{{}}, 0},
		"containers add up":                {nil, []corev1.Container{asks(1), asks(2), {}}, 3},
		"a limit stands for a request":     {nil, []corev1.Container{limited(4)}, 4},
		"a request goes before a limit":    {nil, []corev1.Container{both}, 2},
		"an init container hides behind":   {[]corev1.Container{asks(2)}, []corev1.Container{asks(4)}, 4},
		"a larger init container counts":   {[]corev1.Container{asks(8)}, []corev1.Container{asks(4)}, 8},
		"init containers do not add up":    {[]corev1.Container{asks(3), asks(3)}, []corev1.Container{asks(1)}, 3},
		"a sidecar stays":                  {[]corev1.Container{sidecar(1)}, []corev1.Container{asks(4)}, 5},
		"sidecars start before later ones": {[]corev1.Container{sidecar(2), asks(4)}, []corev1.Container{asks(1)}, 6},
		"but not before earlier ones":      {[]corev1.Container{asks(4), sidecar(2)}, []corev1.Container{asks(1)}, 4},
		"every maker":                      {nil, []corev1.Container{other("amd.com/gpu", "2"), other("gpu.intel.com/xe", "1")}, 3},
		"slices are not GPUs":              {nil, []corev1.Container{other("nvidia.com/mig-1g.10gb", "3")}, 0},
		"each resource by its own maximum": {[]corev1.Container{other("amd.com/gpu", "2")}, []corev1.Container{asks(1)}, 3},
		"less than nothing":                {nil, []corev1.Container{asks(-4)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: tt.init, Containers: tt.containers}}
			assert.Equal(t, tt.want, capacity.PodGPUs(pod))
		})
	}
}

// TestPodGPUsCoverEveryMoment plays the start of a pod: at no time do the running containers use more than was set aside,
// and at some time they use all of it.
func TestPodGPUsCoverEveryMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pod corev1.Pod
		kept, peak := 0, 0
		for range rapid.IntRange(0, 4).Draw(t, "init containers") {
			gpus := rapid.IntRange(0, 8).Draw(t, "gpus")
			peak = max(peak, kept+gpus)
			if rapid.Bool().Draw(t, "sidecar") {
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, sidecar(int64(gpus)))
				kept += gpus
			} else {
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, asks(int64(gpus)))
			}
		}
		for range rapid.IntRange(1, 4).Draw(t, "containers") {
			gpus := rapid.IntRange(0, 8).Draw(t, "gpus")
			pod.Spec.Containers = append(pod.Spec.Containers, limited(int64(gpus)))
			kept += gpus
		}
		if got, want := capacity.PodGPUs(&pod), max(peak, kept); got != want {
			t.Fatalf("set aside %d, used %d", got, want)
		}
	})
}

func TestHoldsAndWaits(t *testing.T) {
	now := metav1.Now()
	for name, tt := range map[string]struct {
		pod          corev1.Pod
		holds, waits bool
	}{
		"in the queue":         {corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}}, false, true},
		"starting":             {corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}, true, false},
		"running":              {corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}, true, false},
		"out of sight":         {corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodUnknown}}, true, false},
		"done":                 {corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}, false, false},
		"failed":               {corev1.Pod{Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodFailed}}, false, false},
		"ending":               {corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Spec: corev1.PodSpec{NodeName: "n"}}, true, false},
		"deleted in the queue": {corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.holds, capacity.Holds(&tt.pod), "holds")
			assert.Equal(t, tt.waits, capacity.Waits(&tt.pod), "waits")
		})
	}
}
