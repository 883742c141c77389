package standin

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	labelRayCluster    = "ray.io/cluster"
	labelRayNodeType   = "ray.io/node-type"
	labelRayGroup      = "ray.io/group"
	labelRayNode       = "ray.io/is-ray-node"
	labelRayIdentifier = "ray.io/identifier"
	labelRayServe      = "ray.io/serve"
	labelRayOrigin     = "ray.io/originated-from-cr-name"
	labelRayOriginKind = "ray.io/originated-from-crd"

	headGroup = "headgroup"
)

// byOrigin is the index of Ray clusters by the RayService they were made for.
const byOrigin = "origin"

// rayClusters stands in for the RayCluster controller of KubeRay.
type rayClusters struct {
	*cluster
	kind *kind
	loop *loop
	// moved is told the RayService of a cluster whose pods changed.
	moved func(namespace, service string)
}

func newRayClusters(c *cluster) *rayClusters {
	r := &rayClusters{cluster: c, loop: newLoop("rayclusters"), kind: &kind{
		gvr: schema.GroupVersionResource{Group: "ray.io", Version: "v1", Resource: "rayclusters"},
		gvk: schema.GroupVersionKind{Group: "ray.io", Version: "v1", Kind: "RayCluster"},
	}}
	r.loop.reconcile = r.reconcile
	return r
}

func originOf(obj any) ([]string, error) {
	object, ok := obj.(*unstructured.Unstructured)
	if !ok || object.GetLabels()[labelRayOriginKind] != "RayService" {
		return nil, nil
	}
	return []string{object.GetNamespace() + "/" + object.GetLabels()[labelRayOrigin]}, nil
}

// rayClusterSpec is the part of a cluster's spec that is acted on.
type rayClusterSpec struct {
	Head struct {
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"headGroupSpec"`
	Groups []rayGroup `json:"workerGroupSpecs"`
}

type rayGroup struct {
	Name     string                 `json:"groupName"`
	Replicas *int                   `json:"replicas"`
	Min      *int                   `json:"minReplicas"`
	Max      *int                   `json:"maxReplicas"`
	Hosts    int                    `json:"numOfHosts"`
	Suspend  bool                   `json:"suspend"`
	Template corev1.PodTemplateSpec `json:"template"`
}

// pods is how many pods a group gets: replicas of as many hosts each, within the
// limits of the group.
func (g rayGroup) pods() int {
	if g.Suspend {
		return 0
	}
	n := 0
	if g.Replicas != nil {
		n = *g.Replicas
	}
	return max(n, g.least()) * max(g.Hosts, 1)
}

func (g rayGroup) least() int {
	if g.Min == nil {
		return 0
	}
	return *g.Min
}

func (r *rayClusters) reconcile(ctx context.Context, namespace, name string) (time.Duration, error) {
	object := r.kind.get(namespace, name)
	if object == nil {
		return 0, nil
	}
	if origin := object.GetLabels()[labelRayOrigin]; origin != "" && object.GetLabels()[labelRayOriginKind] == "RayService" {
		defer r.moved(namespace, origin)
	}
	if object.GetDeletionTimestamp() != nil {
		return 0, nil // a cluster has no finalizer; its pods go with it
	}
	spec := rayClusterSpec{}
	if err := decode(object.Object["spec"], &spec); err != nil {
		return 0, fmt.Errorf("raycluster %s/%s: %w", namespace, name, err)
	}
	owner := controlledBy(object, r.kind.gvk)
	service := rayHeadService(name+"-head-svc", namespace, name, owner)
	if err := r.ensureService(ctx, service); err != nil {
		return 0, err
	}
	pods := r.podsOf(labelRayCluster, namespace, name)
	if err := r.fill(ctx, owner, namespace, raySlots(object, spec), pods); err != nil {
		return 0, err
	}
	status := rayClusterStatus(object, spec, pods, time.Now())
	return 0, r.kind.writeStatus(ctx, r.cluster, object, status)
}

// raySlots are one head and the workers of every group.
func raySlots(object *unstructured.Unstructured, spec rayClusterSpec) []slot {
	name := object.GetName()
	slots := []slot{{
		id: headGroup, prefix: name + "-head", stable: true,
		template: rayTemplate(object, spec.Head.Template, headGroup),
	}}
	for _, group := range spec.Groups {
		template := rayTemplate(object, group.Template, group.Name)
		for i := range group.pods() {
			slots = append(slots, slot{
				id: fmt.Sprintf("%s-%d", group.Name, i), template: template,
				prefix: fmt.Sprintf("%s-%s-worker-", name, group.Name),
			})
		}
	}
	return slots
}

// rayTemplate adds what KubeRay puts on the pods of a group.
func rayTemplate(object *unstructured.Unstructured, from corev1.PodTemplateSpec, group string) *podTemplate {
	template := from.DeepCopy()
	nodeType := "worker"
	if group == headGroup {
		nodeType = "head"
	}
	labels := union(template.Labels, map[string]string{
		labelRayCluster: object.GetName(), labelRayNodeType: nodeType, labelRayGroup: group,
		labelRayNode: "yes", labelRayIdentifier: object.GetName() + "-" + nodeType, labelRayServe: "true",
		"app.kubernetes.io/name": "kuberay", "app.kubernetes.io/created-by": "kuberay-operator",
	})
	if len(template.Spec.Containers) > 0 {
		ray := &template.Spec.Containers[0]
		ray.Env = append(ray.Env,
			corev1.EnvVar{Name: "RAY_CLUSTER_NAME", Value: object.GetName()},
			corev1.EnvVar{Name: "RAY_NODE_TYPE_NAME", Value: group},
			corev1.EnvVar{Name: "RAY_PORT", Value: "6379"},
		)
		if nodeType == "worker" {
			head := object.GetName() + "-head-svc." + object.GetNamespace() + ".svc.cluster.local"
			ray.Env = append(ray.Env, corev1.EnvVar{Name: "FQ_RAY_IP", Value: head}, corev1.EnvVar{Name: "RAY_ADDRESS", Value: head + ":6379"})
		}
		ray.Ports = withPort(ray.Ports, "metrics", 8080)
	}
	tolerateGPU(&template.Spec)
	return newTemplate(labels, template.Annotations, object.GetAnnotations(), nodeType == "worker", template.Spec)
}

func withPort(ports []corev1.ContainerPort, name string, number int32) []corev1.ContainerPort {
	for _, p := range ports {
		if p.Name == name {
			return ports
		}
	}
	return append(ports, corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP})
}

// rayHeadService leads to the head of one cluster. KubeRay makes one per cluster,
// and one per RayService that follows the active cluster.
func rayHeadService(name, namespace, cluster string, owner metav1.OwnerReference) *corev1.Service {
	selector := map[string]string{labelRayCluster: cluster, labelRayNodeType: "head", labelRayIdentifier: cluster + "-head"}
	return rayService(name, namespace, selector, owner, map[string]int32{
		"client": 10001, "dashboard": 8265, "gcs-server": 6379, "metrics": 8080, "serve": 8000,
	})
}

// rayServeService leads to all pods of a cluster that take requests.
func rayServeService(name, namespace, cluster string, owner metav1.OwnerReference) *corev1.Service {
	selector := map[string]string{labelRayCluster: cluster, labelRayServe: "true"}
	return rayService(name, namespace, selector, owner, map[string]int32{"serve": 8000})
}

func rayService(name, namespace string, selector map[string]string, owner metav1.OwnerReference, ports map[string]int32) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace, OwnerReferences: []metav1.OwnerReference{owner},
			Labels: union(map[string]string{"app.kubernetes.io/name": "kuberay", "app.kubernetes.io/created-by": "kuberay-operator"}, nil),
		},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Selector: selector},
	}
	maps.Copy(service.Labels, map[string]string{labelRayIdentifier: selector[labelRayCluster] + "-head"})
	if owner.Kind == "RayService" {
		service.Labels[labelRayOrigin], service.Labels[labelRayOriginKind] = owner.Name, owner.Kind
	}
	service.Spec.Ports = sortedPorts(ports)
	return service
}
