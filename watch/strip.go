package watch

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// stripNode drops images, addresses and annotations, by far the most of a node.
func stripNode(object any) (any, error) {
	n, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	meta := identity(&n.ObjectMeta)
	meta.Labels, meta.CreationTimestamp, meta.DeletionTimestamp = n.Labels, n.CreationTimestamp, n.DeletionTimestamp
	return &corev1.Node{
		ObjectMeta: meta,
		Spec:       corev1.NodeSpec{ProviderID: n.Spec.ProviderID, Unschedulable: n.Spec.Unschedulable, Taints: n.Spec.Taints},
		Status:     corev1.NodeStatus{Allocatable: n.Status.Allocatable, Conditions: n.Status.Conditions},
	}, nil
}

// warningReader keeps the Kubernetes Events about pods, about the runtimes' custom resources, about what stands between,
// and about volumes.
type warningReader struct{ kinds map[string]bool }

func (r warningReader) strip(object any) (any, error) {
	e, ok := object.(*corev1.Event)
	if !ok {
		return object, nil
	}
	out := &corev1.Event{ObjectMeta: identity(&e.ObjectMeta), Type: e.Type}
	if !r.kinds[e.InvolvedObject.Kind] {
		return out, nil
	}
	out.CreationTimestamp = e.CreationTimestamp
	out.InvolvedObject = corev1.ObjectReference{
		Kind: e.InvolvedObject.Kind, Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name,
		UID: e.InvolvedObject.UID, APIVersion: e.InvolvedObject.APIVersion, FieldPath: e.InvolvedObject.FieldPath,
	}
	out.Reason, out.Message, out.Count, out.Series = e.Reason, e.Message, e.Count, e.Series
	out.FirstTimestamp, out.LastTimestamp, out.EventTime = e.FirstTimestamp, e.LastTimestamp, e.EventTime
	out.ReportingController, out.Source = e.ReportingController, corev1.EventSource{Component: e.Source.Component}
	return out, nil
}

func eventObject(object any) ([]string, error) {
	if e, ok := object.(*corev1.Event); ok && e.InvolvedObject.UID != "" {
		return []string{string(e.InvolvedObject.UID)}, nil
	}
	return nil, nil
}

func warningIndexers() cache.Indexers {
	return cache.Indexers{byObject: eventObject, byName: eventTies}
}

// stripDeployment keeps of a Deployment what tells which operator it runs and whether it does.
func stripDeployment(object any) (any, error) {
	d, ok := object.(*appsv1.Deployment)
	if !ok {
		return object, nil
	}
	out := &appsv1.Deployment{ObjectMeta: identity(&d.ObjectMeta)}
	out.Labels = d.Labels
	out.Spec.Replicas = d.Spec.Replicas
	out.Spec.Template.Spec.Containers = make([]corev1.Container, len(d.Spec.Template.Spec.Containers))
	for i, c := range d.Spec.Template.Spec.Containers {
		out.Spec.Template.Spec.Containers[i] = corev1.Container{Name: c.Name, Image: c.Image}
	}
	out.Status = appsv1.DeploymentStatus{
		Replicas: d.Status.Replicas, ReadyReplicas: d.Status.ReadyReplicas, AvailableReplicas: d.Status.AvailableReplicas,
	}
	return out, nil
}

// stripConfigMap drops what kubectl and the API server noted in the metadata.
func stripConfigMap(object any) (any, error) {
	m, ok := object.(*corev1.ConfigMap)
	if !ok {
		return object, nil
	}
	meta := identity(&m.ObjectMeta)
	if len(m.Annotations) > 0 {
		meta.Annotations = make(map[string]string, len(m.Annotations))
		for name, value := range m.Annotations {
			if !strings.HasPrefix(name, "kubectl.kubernetes.io/") {
				meta.Annotations[name] = value
			}
		}
	}
	return &corev1.ConfigMap{ObjectMeta: meta, Data: m.Data}, nil
}
