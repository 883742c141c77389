package runtimes

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
)

// Manifests is what a configuration describes, as objects that have not been created.
type Manifests struct {
	// Primary is the custom resource.
	Primary *unstructured.Unstructured
	// Companions are created after it and belong to it: whoever creates them adds it as their owner, by its UID.
	Companions []*unstructured.Unstructured
	// Warnings are for people: what had no effect, what may go wrong.
	Warnings []string
}

// Change is one field of a custom resource that is to have another value.
type Change struct {
	// Path leads to the field: names of fields, and numbers in lists.
	Path []any
	// Was is the value that it has now, nil where it is not there.
	Was any
	To  any
}

// Labels that KubeFoundry puts on everything it makes.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelProvider  = "kubefoundry.io/provider"
	ManagedBy      = "kubefoundry"
)

// AnnotationModel has the model where nothing else in a custom resource tells it.
const AnnotationModel = "kubefoundry.io/model"

// NewManifest starts a custom resource. Labels and annotations are the configuration's and KubeFoundry's own; more are the
// runtime's.
func NewManifest(info Info, c *api.DeploymentConfig, more map[string]string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(info.Resource.Group + "/" + info.Resource.Versions[0])
	u.SetKind(info.Resource.Kind)
	u.SetName(c.Name)
	u.SetNamespace(c.Namespace)
	u.SetLabels(merged(c.Labels, ownLabels(info, c), more))
	if len(c.Annotations) > 0 {
		u.SetAnnotations(merged(c.Annotations))
	}
	return u
}

func ownLabels(info Info, c *api.DeploymentConfig) map[string]string {
	return map[string]string{
		LabelName: ManagedBy, LabelInstance: c.Name, LabelManagedBy: ManagedBy, LabelProvider: info.ID,
	}
}

// NewCompanion starts an object that goes with a custom resource.
func NewCompanion(info Info, c *api.DeploymentConfig, apiVersion, kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(name)
	u.SetNamespace(c.Namespace)
	u.SetLabels(merged(c.Labels, ownLabels(info, c)))
	return u
}

// Finish applies the overrides of a configuration, the last step of every build.
func (m *Manifests) Finish(c *api.DeploymentConfig) []api.ErrorDetail {
	if len(c.Overrides) == 0 {
		return nil
	}
	if details := checkOverrides(c.Overrides); len(details) > 0 {
		return details
	}
	patched, _ := mergePatch(m.Primary.Object, plain(c.Overrides)).(map[string]any)
	m.Primary = &unstructured.Unstructured{Object: patched}
	return nil
}

// merged puts maps together; later ones win.
func merged(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range parts {
		maps.Copy(all, m)
	}
	return all
}

// Strings turns strings into what unstructured objects hold.
func Strings(list []string) []any {
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

// StringMap is Strings for a map.
func StringMap(m map[string]string) map[string]any {
	all := make(map[string]any, len(m))
	for name, value := range m {
		all[name] = value
	}
	return all
}
