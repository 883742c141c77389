package runtimes_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/internal/capacity"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

func TestTemplateGPUs(t *testing.T) {
	for name, test := range map[string]struct {
		spec string
		want int
	}{
		"nothing":        {`{}`, 0},
		"two containers": {`{containers: [{resources: {limits: {nvidia.com/gpu: 2}}}, {resources: {requests: {nvidia.com/gpu: "1"}}}]}`, 3},
		"cpu beside it":  {`{containers: [{resources: {limits: {nvidia.com/gpu: 1, cpu: "4", memory: 8Gi}}}]}`, 1},
		"another vendor": {`{containers: [{resources: {limits: {amd.com/gpu: 4}}}]}`, 4},
		"init containers": {
			`{initContainers: [{resources: {limits: {nvidia.com/gpu: 4}}}, {resources: {limits: {nvidia.com/gpu: 2}}}],
			  containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`, 4,
		},
		"a sidecar": {
			`{initContainers: [{restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 1}}}],
			  containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`, 2,
		},
		"other types": {
			`{containers: [{resources: {limits: {nvidia.com/gpu: "lots"}}}, 7, {resources: []}], initContainers: {}}`, 0,
		},
		"less than none": {`{containers: [{resources: {limits: {nvidia.com/gpu: -3}}}]}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var podSpec map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(test.spec), &podSpec))
			require.Equal(t, test.want, runtimes.TemplateGPUs(podSpec))
		})
	}
}

// A template in a custom resource counts as many GPUs as the pods made from it.
func TestGPUsAgree(t *testing.T) {
	names := []corev1.ResourceName{"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe", "cpu", "nvidia.com/mig-1g.5gb"}
	always := corev1.ContainerRestartPolicyAlways
	list := rapid.Custom(func(t *rapid.T) corev1.ResourceList {
		out := corev1.ResourceList{}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 3).Draw(t, "names") {
			out[name] = *resource.NewQuantity(rapid.Int64Range(0, 16).Draw(t, "quantity"), resource.DecimalSI)
		}
		return out
	})
	containers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) corev1.Container {
		c := corev1.Container{Resources: corev1.ResourceRequirements{Requests: list.Draw(t, "requests"), Limits: list.Draw(t, "limits")}}
		if rapid.Bool().Draw(t, "sidecar") {
			c.RestartPolicy = &always
		}
		return c
	}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		pod := &corev1.Pod{Spec: corev1.PodSpec{
			Containers: containers.Draw(t, "containers"), InitContainers: containers.Draw(t, "init containers"),
		}}
		template, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&pod.Spec)
		require.NoError(t, err)
		require.Equal(t, capacity.PodGPUs(pod), runtimes.TemplateGPUs(template))
	})
}
