package standin

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	gpuResource = corev1.ResourceName("nvidia.com/gpu")
	// presetImage serves all presets of this release; the model comes from a flag.
	presetImage = "mcr.microsoft.com/aks/kaito/kaito-base:0.1.1"
)

// workspaceTemplate is the pod of a workspace: its own template, or the one that
// KAITO makes for a preset.
func workspaceTemplate(object *unstructured.Unstructured, spec workspace) *podTemplate {
	var template corev1.PodTemplateSpec
	switch {
	case spec.Inference.Template != nil:
		spec.Inference.Template.DeepCopyInto(&template)
	case spec.Inference.Preset != nil:
		template.Spec = presetPod(object.GetName(), spec)
	}
	labels := maps.Clone(template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelWorkspace] = object.GetName()
	if spec.Resource.LabelSelector != nil && len(spec.Resource.LabelSelector.MatchLabels) > 0 {
		nodes := maps.Clone(template.Spec.NodeSelector)
		if nodes == nil {
			nodes = map[string]string{}
		}
		maps.Copy(nodes, spec.Resource.LabelSelector.MatchLabels)
		template.Spec.NodeSelector = nodes
	}
	tolerateGPU(&template.Spec)
	return newTemplate(labels, template.Annotations, object.GetAnnotations(), true, template.Spec)
}

// tolerateGPU lets pods that ask for GPUs onto nodes that are tainted for them,
// as the ExtendedResourceToleration admission of managed clusters does.
func tolerateGPU(spec *corev1.PodSpec) {
	for _, c := range spec.Containers {
		if _, ok := c.Resources.Limits[gpuResource]; ok {
			spec.Tolerations = append(spec.Tolerations, corev1.Toleration{
				Key: string(gpuResource), Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule,
			})
			return
		}
	}
}

// presetPod is the pod of a preset: vLLM on port 5000, in a container that bears
// the name of the workspace.
func presetPod(name string, spec workspace) corev1.PodSpec {
	preset := spec.Inference.Preset
	image := preset.Options.Image
	if image == "" {
		image = presetImage
	}
	gpus := corev1.ResourceList{gpuResource: *resource.NewQuantity(presetGPUs(preset.Name), resource.DecimalSI)}
	container := corev1.Container{
		Name:    name,
		Image:   image,
		Command: []string{"python3", "/workspace/vllm/inference_api.py"},
		Args: []string{
			"--model", preset.Name, "--served-model-name", preset.Name,
			"--port", "5000", "--tensor-parallel-size", gpuCount(gpus),
		},
		Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 5000, Protocol: corev1.ProtocolTCP}},
		Resources:      corev1.ResourceRequirements{Limits: gpus, Requests: gpus},
		ReadinessProbe: httpProbe(5000),
	}
	if preset.Options.AccessSecret != "" {
		container.Env = append(container.Env, corev1.EnvVar{Name: "HF_TOKEN", ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: preset.Options.AccessSecret}, Key: "HF_TOKEN"},
		}})
	}
	return corev1.PodSpec{Containers: []corev1.Container{container}}
}

// presetGPUs guesses how many GPUs of a node a preset takes, by its size.
func presetGPUs(preset string) int64 {
	for _, large := range []string{"70b", "40b", "120b", "deepseek-r1"} {
		if strings.Contains(strings.ToLower(preset), large) {
			return 8
		}
	}
	return 1
}

func gpuCount(list corev1.ResourceList) string {
	q := list[gpuResource]
	return q.String()
}
