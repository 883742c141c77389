package standin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	labelGraph            = "nvidia.com/dynamo-graph-deployment-name"
	labelComponent        = "nvidia.com/dynamo-component"
	labelComponentType    = "nvidia.com/dynamo-component-type"
	labelSubComponentType = "nvidia.com/dynamo-sub-component-type"
	labelDynamoNamespace  = "nvidia.com/dynamo-namespace"
	labelDynamoSelector   = "nvidia.com/selector"
)

// graphs stands in for the operator of Dynamo where it runs without Grove: one
// Deployment per component, whose pods it makes directly.
type graphs struct {
	*cluster
	kind *kind
	loop *loop
}

func newGraphs(c *cluster) *graphs {
	g := &graphs{cluster: c, loop: newLoop("graphs"), kind: &kind{
		// The storage version; it shows objects of both shapes.
		gvr:       schema.GroupVersionResource{Group: "nvidia.com", Version: "v1alpha1", Resource: "dynamographdeployments"},
		gvk:       schema.GroupVersionKind{Group: "nvidia.com", Version: "v1alpha1", Kind: "DynamoGraphDeployment"},
		finalizer: "nvidia.com/finalizer",
	}}
	g.loop.reconcile = g.reconcile
	return g
}

func (g *graphs) reconcile(ctx context.Context, namespace, name string) (time.Duration, error) {
	object := g.kind.get(namespace, name)
	if object == nil {
		return 0, nil
	}
	pods := g.podsOf(labelGraph, namespace, name)
	if object.GetDeletionTimestamp() != nil {
		if err := g.deletePods(ctx, notLeaving(pods)); err != nil {
			return 0, err
		}
		return g.kind.finish(ctx, g.cluster, object, len(pods))
	}
	if err := g.kind.claim(ctx, g.cluster, object); err != nil {
		return 0, err
	}
	graph := graph{}
	if err := decode(object.Object["spec"], &graph); err != nil {
		return 0, fmt.Errorf("graph %s/%s: %w", namespace, name, err)
	}
	owner := controlledBy(object, g.kind.gvk)
	parts := graph.parts(object)
	var slots []slot
	for _, p := range parts {
		slots = append(slots, p.slots(name)...)
		if p.kind == "frontend" {
			if err := g.ensureService(ctx, frontendService(object, owner, p)); err != nil {
				return 0, err
			}
		}
	}
	if err := g.fill(ctx, owner, namespace, slots, pods); err != nil {
		return 0, err
	}
	return 0, g.kind.writeStatus(ctx, g.cluster, object, graphStatus(object, parts, pods, time.Now()))
}

// graph is the spec of a DynamoGraphDeployment in either shape.
type graph struct {
	Services   map[string]graphService `json:"services"`
	Components []graphComponent        `json:"components"`
	Envs       []corev1.EnvVar         `json:"envs"`
	Env        []corev1.EnvVar         `json:"env"`
	Backend    string                  `json:"backendFramework"`
}

// graphService is a component in v1alpha1.
type graphService struct {
	Type          string            `json:"componentType"`
	SubType       string            `json:"subComponentType"`
	Replicas      *int              `json:"replicas"`
	Labels        map[string]string `json:"labels"`
	Annotations   map[string]string `json:"annotations"`
	Envs          []corev1.EnvVar   `json:"envs"`
	EnvFromSecret string            `json:"envFromSecret"`
	Resources     graphResources    `json:"resources"`
	PodMetadata   struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"extraPodMetadata"`
	PodSpec *struct {
		corev1.PodSpec
		Main *corev1.Container `json:"mainContainer"`
	} `json:"extraPodSpec"`
}

type graphResources struct {
	Requests graphAmounts `json:"requests"`
	Limits   graphAmounts `json:"limits"`
}

type graphAmounts struct {
	CPU    string            `json:"cpu"`
	Memory string            `json:"memory"`
	GPU    string            `json:"gpu"`
	Custom map[string]string `json:"custom"`
}

// graphComponent is a component in v1beta1.
type graphComponent struct {
	Name     string                  `json:"name"`
	Type     string                  `json:"type"`
	Replicas *int                    `json:"replicas"`
	Template *corev1.PodTemplateSpec `json:"podTemplate"`
}

// part is one component of a graph, whatever shape it came in.
type part struct {
	name     string // as in the spec: the key of the status too
	kind     string // frontend, worker, prefill, decode, planner …
	subKind  string
	replicas int
	beta     bool // reported under status.components
	template *podTemplate
}

// parts are the components in the order of their names.
func (g graph) parts(object *unstructured.Unstructured) []part {
	var parts []part
	for _, name := range slices.Sorted(maps.Keys(g.Services)) {
		service := g.Services[name]
		p := part{name: name, kind: service.Type, subKind: service.SubType, replicas: replicasOr1(service.Replicas)}
		p.template = servicePod(object, g, p, service)
		parts = append(parts, p)
	}
	for _, component := range g.Components {
		p := part{name: component.Name, kind: component.Type, replicas: replicasOr1(component.Replicas), beta: true}
		p.template = componentPod(object, g, p, component)
		parts = append(parts, p)
	}
	slices.SortStableFunc(parts, func(a, b part) int { return strings.Compare(a.name, b.name) })
	return parts
}

func replicasOr1(n *int) int {
	if n == nil {
		return 1
	}
	return *n
}

// workload is the name of the Deployment that the operator would make.
func (p part) workload(graph string) string { return graph + "-" + strings.ToLower(p.name) }

func (p part) slots(graph string) []slot {
	slots := make([]slot, p.replicas)
	for i := range slots {
		slots[i] = slot{
			id: fmt.Sprintf("%s-%d", p.name, i), template: p.template,
			prefix: p.workload(graph) + "-" + p.template.hash + "-",
		}
	}
	return slots
}

func frontendService(object *unstructured.Unstructured, owner metav1.OwnerReference, p part) *corev1.Service {
	labels := map[string]string{labelGraph: object.GetName(), labelComponent: p.name, labelComponentType: p.kind}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.workload(object.GetName()), Namespace: object.GetNamespace(),
			Labels: labels, OwnerReferences: []metav1.OwnerReference{owner},
		},
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: map[string]string{labelDynamoSelector: p.workload(object.GetName()), labelComponentType: p.kind},
			Ports:    []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 8000, TargetPort: intstr.FromString("http")}},
		},
	}
}
