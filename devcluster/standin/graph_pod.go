package standin

import (
	"cmp"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// mainContainer is the name that Dynamo gives to, and expects of, the container
// that runs a component.
const mainContainer = "main"

// servicePod is the pod of a v1alpha1 service.
func servicePod(object *unstructured.Unstructured, g graph, p part, service graphService) *podTemplate {
	var spec corev1.PodSpec
	main := corev1.Container{}
	if service.PodSpec != nil {
		service.PodSpec.PodSpec.DeepCopyInto(&spec)
		if service.PodSpec.Main != nil {
			service.PodSpec.Main.DeepCopyInto(&main)
		}
	}
	if service.EnvFromSecret != "" {
		main.EnvFrom = append(main.EnvFrom, corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: service.EnvFromSecret},
		}})
	}
	main.Env = append(append(append([]corev1.EnvVar{}, g.Envs...), service.Envs...), main.Env...)
	addAmounts(&main.Resources.Requests, service.Resources.Requests)
	addAmounts(&main.Resources.Limits, service.Resources.Limits)
	spec.Containers = append([]corev1.Container{main}, spec.Containers...)
	labels := union(service.Labels, service.PodMetadata.Labels)
	annotations := union(service.Annotations, service.PodMetadata.Annotations)
	return graphPod(object, p, labels, annotations, spec)
}

// componentPod is the pod of a v1beta1 component: the template it brings.
func componentPod(object *unstructured.Unstructured, g graph, p part, component graphComponent) *podTemplate {
	var template corev1.PodTemplateSpec
	if component.Template != nil {
		component.Template.DeepCopyInto(&template)
	}
	if len(template.Spec.Containers) == 0 {
		template.Spec.Containers = []corev1.Container{{}}
	}
	main := &template.Spec.Containers[0]
	main.Env = append(append([]corev1.EnvVar{}, g.Env...), main.Env...)
	return graphPod(object, p, union(template.Labels, nil), union(template.Annotations, nil), template.Spec)
}

// graphPod adds what the operator puts on every pod: labels, the name and ports
// of the main container, and where in the graph it stands.
func graphPod(object *unstructured.Unstructured, p part, labels, annotations map[string]string, spec corev1.PodSpec) *podTemplate {
	namespace := object.GetNamespace() + "-" + object.GetName()
	maps.Copy(labels, map[string]string{
		labelGraph: object.GetName(), labelComponent: p.name, labelComponentType: p.kind,
		labelDynamoNamespace: namespace, labelDynamoSelector: p.workload(object.GetName()),
	})
	if p.subKind != "" {
		labels[labelSubComponentType] = p.subKind
	}
	main := &spec.Containers[0]
	main.Name = cmp.Or(main.Name, mainContainer)
	main.Image = cmp.Or(main.Image, "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.1.1")
	port := corev1.ContainerPort{Name: "system", ContainerPort: 9090, Protocol: corev1.ProtocolTCP}
	if p.kind == "frontend" {
		port = corev1.ContainerPort{Name: "http", ContainerPort: 8000, Protocol: corev1.ProtocolTCP}
		if len(main.Command)+len(main.Args) == 0 {
			main.Command, main.Args = []string{"python3"}, []string{"-m", "dynamo.frontend"}
		}
	}
	if len(main.Ports) == 0 {
		main.Ports = []corev1.ContainerPort{port}
	}
	if main.ReadinessProbe == nil {
		main.ReadinessProbe = httpProbe(port.ContainerPort)
	}
	main.Env = append(main.Env,
		corev1.EnvVar{Name: "DYN_NAMESPACE", Value: namespace},
		corev1.EnvVar{Name: "DYN_COMPONENT", Value: p.kind},
		corev1.EnvVar{Name: "DYN_PARENT_DGD_K8S_NAME", Value: object.GetName()},
		corev1.EnvVar{Name: "DYN_PARENT_DGD_K8S_NAMESPACE", Value: object.GetNamespace()},
	)
	tolerateGPU(&spec)
	return newTemplate(labels, annotations, object.GetAnnotations(), p.kind != "frontend", spec)
}

// addAmounts puts Dynamo's own form of resources into the Kubernetes one. A text
// that is no quantity is left out; the API server would refuse the pod.
func addAmounts(list *corev1.ResourceList, amounts graphAmounts) {
	set := func(name corev1.ResourceName, text string) {
		q, err := resource.ParseQuantity(text)
		if text == "" || err != nil {
			return
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = q
	}
	set(corev1.ResourceCPU, amounts.CPU)
	set(corev1.ResourceMemory, amounts.Memory)
	set(gpuResource, amounts.GPU)
	for name, text := range amounts.Custom {
		set(corev1.ResourceName(name), text)
	}
}

// union copies both maps into a new one; the second wins.
func union(a, b map[string]string) map[string]string {
	out := make(map[string]string, len(a)+len(b))
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}
