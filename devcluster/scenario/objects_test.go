package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/devcluster/crds"
	"github.com/kubefoundry/kubefoundry/devcluster/standin"
)

// schemas are the definitions by group, version and kind.
type schemas map[string]*apiextensions.JSONSchemaProps

func ownSchemas(t *testing.T) schemas {
	t.Helper()
	all, err := crds.Definitions("")
	if err != nil {
		t.Fatal(err)
	}
	found := schemas{}
	for _, crd := range all {
		for _, version := range crd.Spec.Versions {
			internal := &apiextensions.JSONSchemaProps{}
			if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, internal, nil); err != nil {
				t.Fatal(err)
			}
			found[crd.Spec.Group+"/"+version.Name+"/"+crd.Spec.Names.Kind] = internal
		}
	}
	return found
}

// check reports what the API server would refuse under fieldValidation=Strict.
func (s schemas) check(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	gvk := object.GroupVersionKind()
	schema := s[gvk.Group+"/"+gvk.Version+"/"+gvk.Kind]
	if schema == nil {
		t.Errorf("%s is not defined", gvk)
		return
	}
	// As it comes from the wire: numbers as JSON has them.
	text, err := json.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	wire := &unstructured.Unstructured{}
	if err := wire.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range validation.ValidateCustomResource(nil, wire.Object, validator) {
		t.Errorf("%s %s: %v", gvk.Kind, object.GetName(), fault)
	}
	shape, err := structural.NewStructural(schema)
	if err != nil {
		t.Fatal(err)
	}
	unknown := pruning.PruneWithOptions(wire.Object, shape, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		t.Errorf("%s %s: unknown fields %v", gvk.Kind, object.GetName(), unknown)
	}
}

func TestObjectsAreValid(t *testing.T) {
	known := ownSchemas(t)
	for name, list := range map[string][]deployment{
		Demo: demo(), Scale: scale(200, 100, seeded(1)), "churned": churned(demo(), 500),
	} {
		for _, d := range list {
			objects := d.objects(name)
			known.check(t, objects[0])
			for _, other := range objects[1:] {
				if other.GetKind() != "Service" || other.GetNamespace() != d.namespace {
					t.Errorf("%s: %s is no Service of its own", d.key(), other.GetName())
				}
			}
		}
	}
}

// churned applies n changes to a list.
func churned(list []deployment, n int) []deployment {
	c := newChurn(&writer{scenario: Demo}, list, Options{Churn: 1, Seed: 7})
	for range n {
		c.next()
	}
	return append(c.live, c.gone...)
}

func TestChurnRepeats(t *testing.T) {
	tell := func(seed int64) string {
		c := newChurn(&writer{scenario: Demo}, demo(), Options{Churn: 1, Seed: seed})
		kinds, text := map[string]int{}, ""
		for range 400 {
			next := c.next()
			kinds[next.what]++
			text += fmt.Sprintln(next.what, next.d.key())
		}
		for _, kind := range []string{"scale", "label", "delete", "create", "break", "mend", "upgrade"} {
			if kinds[kind] == 0 {
				t.Errorf("seed %d: no %s among %v", seed, kind, kinds)
			}
		}
		if most := max(1, mostBroken*float64(len(c.live)+len(c.gone))); float64(c.broken) > most+1 {
			t.Errorf("seed %d: %d are broken", seed, c.broken)
		}
		return text
	}
	if first, again := tell(1), tell(1); first != again {
		t.Error("the same seed gives other changes")
	}
	if tell(1) == tell(2) {
		t.Error("another seed gives the same changes")
	}
}

// The demo has to fit a cluster of the default size, whose nodes have 72 GPUs.
func TestDemo(t *testing.T) {
	list := demo()
	if len(list) != 60 {
		t.Errorf("%d deployments, want 60", len(list))
	}
	keys, runtimes, namespaces, fates, gpus := map[string]bool{}, map[string]int{}, map[string]bool{}, map[string]int{}, 0
	for _, d := range list {
		if keys[d.key()] {
			t.Errorf("%s is there twice", d.key())
		}
		keys[d.key()] = true
		runtimes[d.runtime]++
		namespaces[d.namespace] = true
		fates[d.behaviour]++
		if d.worker.gpus < 8 && d.product == "" {
			for _, r := range []role{d.worker, d.prefill, d.decode} {
				gpus += r.replicas * r.gpus
			}
		}
		if d.runtime == standin.KubeRay && len(d.name) > 47 {
			t.Errorf("%s is longer than KubeRay allows", d.name)
		}
	}
	if gpus > 60 {
		t.Errorf("%d GPUs are asked for by what is to run; leave some of 72", gpus)
	}
	for _, runtime := range []string{standin.KAITO, standin.KubeRay, standin.Dynamo} {
		if runtimes[runtime] < 10 {
			t.Errorf("only %d of %s", runtimes[runtime], runtime)
		}
	}
	for _, fate := range []string{"slow", "crashloop", "oomkilled", "imagepull", "stuck"} {
		if fates[fate] == 0 {
			t.Errorf("none is %s", fate)
		}
	}
	if len(namespaces) < 8 {
		t.Errorf("only %v", slices.Sorted(maps.Keys(namespaces)))
	}
}

func TestObjectsFollowTheForm(t *testing.T) {
	d := graphOf("ml", "chat", sglang, "org/model", 2, 4)
	d.context, d.gated = 8192, true
	args, _, _ := unstructured.NestedStringSlice(d.objects("x")[0].Object, "spec", "services", "SglangWorker", "extraPodSpec", "mainContainer", "args")
	if got := strings.Join(args, " "); got != "-m dynamo.sglang --model-path org/model --tp 4 --context-length 8192" {
		t.Errorf("args are %q", got)
	}

	ray := rayOf("ml", `a"b`, `org/"quoted": yes`, 1, 2)
	text, _, _ := unstructured.NestedString(ray.objects("x")[0].Object, "spec", "serveConfigV2")
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil || !strings.Contains(fmt.Sprint(config), `org/"quoted": yes`) {
		t.Errorf("serve config does not survive quotes: %v in %s", err, text)
	}

	w := vllmOf("ml", "w", "org/model", 1, 1).objects("demo")
	if len(w) != 2 || w[1].GetName() != "w-vllm" || w[0].GetLabels()["kubefoundry.io/model-source"] != "vllm" || w[0].GetLabels()[origin] != "demo" {
		t.Errorf("workspace is %v", w)
	}
	hand := workspaceOf("ml", "w", "llama3.2:1b", 1)
	hand.byHand = true
	if labels := hand.objects("demo")[0].GetLabels(); labels["app.kubernetes.io/managed-by"] != "" {
		t.Errorf("made by hand, but labelled %v", labels)
	}
}
