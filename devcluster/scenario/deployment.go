package scenario

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubefoundry/kubefoundry/devcluster/standin"
)

// Engines.
const (
	vllm     = "vllm"
	sglang   = "sglang"
	trtllm   = "trtllm"
	llamacpp = "llamacpp"
)

// hfSecret holds the token for gated models, in every namespace with deployments.
const hfSecret = "hf-token-secret"

// origin labels the objects of a scenario, so that they can be told from a user's.
const origin = "devcluster.kubefoundry.io/scenario"

// role is a number of equal pods.
type role struct {
	replicas int
	gpus     int
	extra    bool // one of the replicas was added by churn
}

// deployment is a model deployment as a user asks for it. The fields are those of
// the product's form, not of any runtime.
type deployment struct {
	runtime   string
	namespace string
	name      string
	engine    string
	model     string // a Hugging Face id, an AIKit image name, or a preset
	served    string // empty: the model
	context   int    // tokens; zero: the model's
	gated     bool   // needs the token

	worker role // aggregated
	// disaggregated, if prefill has replicas
	prefill, decode role

	beta    bool // Dynamo: written in v1beta1
	preset  bool // KAITO: a preset, made by hand with kubectl
	file    string
	nodes   map[string]string // KAITO: label selector
	byHand  bool              // not created through the product
	product string            // GPU product that the pods insist on
	image   string            // in place of the engine's

	behaviour string
	delay     string
	hold      string // deleted at once, and held for this long
	steady    bool   // churn leaves it alone

	// labels and notes are a user's own; churn writes them.
	labels, notes map[string]string
}

func (d deployment) disaggregated() bool { return d.prefill.replicas > 0 }

func (d deployment) servedName() string {
	if d.served != "" {
		return d.served
	}
	return d.model
}

// key names a deployment among all of them.
func (d deployment) key() string { return d.runtime + "/" + d.namespace + "/" + d.name }

// objects are what the API writes for a deployment: the custom resource first.
func (d deployment) objects(scenario string) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	switch d.runtime {
	case standin.KAITO:
		all = workspaceObjects(d)
	case standin.KubeRay:
		all = []*unstructured.Unstructured{rayServiceObject(d)}
	default:
		all = []*unstructured.Unstructured{graphObject(d)}
	}
	labels := all[0].GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[origin] = scenario
	maps.Copy(labels, d.labels)
	all[0].SetLabels(labels)
	if annotations := d.annotations(); len(annotations) > 0 {
		all[0].SetAnnotations(annotations)
	}
	return all
}

func (d deployment) annotations() map[string]string {
	annotations := maps.Clone(d.notes)
	if annotations == nil {
		annotations = map[string]string{}
	}
	for key, value := range map[string]string{standin.Behaviour: d.behaviour, standin.Delay: d.delay, standin.Hold: d.hold} {
		if value != "" {
			annotations[key] = value
		}
	}
	return annotations
}

// object starts a custom resource with the labels of the product.
func (d deployment) object(gvk schema.GroupVersionKind, extra map[string]string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(gvk)
	object.SetName(d.name)
	object.SetNamespace(d.namespace)
	if !d.byHand {
		labels := map[string]string{
			"app.kubernetes.io/name": "kubefoundry", "app.kubernetes.io/instance": d.name,
			"app.kubernetes.io/managed-by": "kubefoundry", "kubefoundry.io/provider": d.runtime,
		}
		maps.Copy(labels, extra)
		object.SetLabels(labels)
	}
	return object
}

// nodeSelector is how pods insist on a GPU product, or nothing.
func (d deployment) nodeSelector() map[string]any {
	if d.product == "" {
		return nil
	}
	return map[string]any{"nvidia.com/gpu.product": d.product}
}

func texts(list ...string) []any {
	out := make([]any, len(list))
	for i, text := range list {
		out[i] = text
	}
	return out
}
