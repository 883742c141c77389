package standin

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const labelWorkspace = "kaito.sh/workspace"

// workspaces stands in for the workspace controller of KAITO, release 0.12,
// installed as this project installs it: without node provisioning, so that a
// workspace runs on nodes that are there.
type workspaces struct {
	*cluster
	kind *kind
	loop *loop
}

func newWorkspaces(c *cluster) *workspaces {
	w := &workspaces{cluster: c, loop: newLoop("workspaces"), kind: &kind{
		gvr:       schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"},
		gvk:       schema.GroupVersionKind{Group: "kaito.sh", Version: "v1beta1", Kind: "Workspace"},
		finalizer: "workspace.finalizer.kaito.sh",
	}}
	w.loop.reconcile = w.reconcile
	return w
}

// workspace is the part of a Workspace that is acted on.
type workspace struct {
	Resource struct {
		Count         int                   `json:"count"`
		InstanceType  string                `json:"instanceType"`
		LabelSelector *metav1.LabelSelector `json:"labelSelector"`
	} `json:"resource"`
	Inference *struct {
		Template *corev1.PodTemplateSpec `json:"template"`
		Preset   *struct {
			Name    string `json:"name"`
			Options struct {
				Image        string `json:"image"`
				AccessSecret string `json:"modelAccessSecret"`
			} `json:"presetOptions"`
		} `json:"preset"`
	} `json:"inference"`
}

func (w *workspaces) reconcile(ctx context.Context, namespace, name string) (time.Duration, error) {
	object := w.kind.get(namespace, name)
	if object == nil {
		return 0, nil
	}
	pods := w.podsOf(labelWorkspace, namespace, name)
	if object.GetDeletionTimestamp() != nil {
		status := statusOf(object)
		setConditions(status, object.GetGeneration(), time.Now(), workspaceDeleting())
		if err := w.kind.writeStatus(ctx, w.cluster, object, status); err != nil {
			return 0, err
		}
		if err := w.deletePods(ctx, notLeaving(pods)); err != nil {
			return 0, err
		}
		return w.kind.finish(ctx, w.cluster, object, len(pods))
	}
	if err := w.kind.claim(ctx, w.cluster, object); err != nil {
		return 0, err
	}
	spec := workspace{}
	if err := decode(object.Object, &spec); err != nil {
		return 0, fmt.Errorf("workspace %s/%s: %w", namespace, name, err)
	}
	if spec.Inference == nil {
		return 0, nil // tuning is not stood in for
	}
	nodes, err := w.matchingNodes(spec)
	if err != nil {
		return 0, fmt.Errorf("workspace %s/%s: %w", namespace, name, err)
	}
	spec.Resource.Count = max(spec.Resource.Count, 1)
	enough := nodes >= spec.Resource.Count
	template := workspaceTemplate(object, spec)
	// As in KAITO, nothing is deployed until there are nodes for it; what runs
	// already stays when nodes go away.
	if enough || len(pods) > 0 {
		owner := controlledBy(object, w.kind.gvk)
		if err := w.ensureService(ctx, workspaceService(object, owner)); err != nil {
			return 0, err
		}
		if err := w.fill(ctx, owner, namespace, workspaceSlots(name, spec.Resource.Count, template), pods); err != nil {
			return 0, err
		}
	}
	status := workspaceStatus(object, spec, enough, count(spec.Resource.Count, template.hash, pods), pods, time.Now())
	if err := w.kind.writeStatus(ctx, w.cluster, object, status); err != nil {
		return 0, err
	}
	if !enough {
		return 15 * time.Second, nil // nodes are not followed
	}
	return 0, nil
}

// matchingNodes counts the ready nodes that a workspace may run on.
func (w *workspaces) matchingNodes(spec workspace) (int, error) {
	selector := labels.Everything()
	if spec.Resource.LabelSelector != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(spec.Resource.LabelSelector); err != nil {
			return 0, err
		}
	}
	nodes, err := w.nodes.List(selector)
	if err != nil {
		return 0, err
	}
	ready := 0
	for _, node := range nodes {
		if nodeReady(node) {
			ready++
		}
	}
	return ready, nil
}

func nodeReady(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue && node.DeletionTimestamp == nil
		}
	}
	return false
}

func notLeaving(pods []*corev1.Pod) []*corev1.Pod {
	var some []*corev1.Pod
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil {
			some = append(some, pod)
		}
	}
	return some
}

// workspaceSlots are named as the pods of a StatefulSet.
func workspaceSlots(name string, replicas int, template *podTemplate) []slot {
	slots := make([]slot, replicas)
	for i := range slots {
		slots[i] = slot{id: fmt.Sprint(i), prefix: fmt.Sprintf("%s-%d", name, i), stable: true, template: template}
	}
	return slots
}

// workspaceService is the one that KAITO makes for every workspace. It leads to
// port 5000 whatever the engine: a template that listens elsewhere brings a
// Service of its own.
func workspaceService(object *unstructured.Unstructured, owner metav1.OwnerReference) *corev1.Service {
	selector := map[string]string{labelWorkspace: object.GetName()}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: object.GetName(), Namespace: object.GetNamespace(),
			Labels: selector, OwnerReferences: []metav1.OwnerReference{owner},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Selector: selector,
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(5000)}},
		},
	}
}
