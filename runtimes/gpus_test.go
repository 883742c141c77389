package runtimes_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/runtimes"
)

func TestTemplateGPUs(t *testing.T) {
	for spec, want := range map[string]int{
		`{}`: 0,
		`{containers: [{resources: {limits: {nvidia.com/gpu: 2}}}, {resources: {requests: {nvidia.com/gpu: "1"}}}]}`: 3,
		`{containers: [{resources: {limits: {nvidia.com/gpu: 1, cpu: "4", memory: 8Gi}}}]}`:                          1,
		`{containers: [{resources: {limits: {amd.com/gpu: 4}}}]}`:                                                    4,
		// One after the other before the containers: the largest counts, and only where it is larger than they together.
		`{initContainers: [{resources: {limits: {nvidia.com/gpu: 4}}}, {resources: {limits: {nvidia.com/gpu: 2}}}], containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`: 4,
		// A sidecar stays.
		`{initContainers: [{restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 1}}}], containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`: 2,
		`{containers: [{resources: {limits: {nvidia.com/gpu: "lots"}}}, 7, {resources: []}], initContainers: {}}`:                                         0,
		`{containers: [{resources: {limits: {nvidia.com/gpu: -3}}}]}`:                                                                                     0,
	} {
		var podSpec map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(spec), &podSpec))
		require.Equal(t, want, runtimes.TemplateGPUs(podSpec), spec)
	}
}
