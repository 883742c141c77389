package crds

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
)

// published is the environment variable that names a folder with the published
// definitions. Without it only the inner validity of ours is checked.
const published = "KUBEFOUNDRY_CRDS"

func own(t *testing.T) []*v1.CustomResourceDefinition {
	t.Helper()
	all, err := Definitions("")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDefinitionsAreComplete(t *testing.T) {
	want := []string{
		"dynamographdeployments.nvidia.com", "inferencesets.kaito.sh", "nodeclaims.karpenter.sh",
		"rayclusters.ray.io", "rayjobs.ray.io", "rayservices.ray.io", "workspaces.kaito.sh",
	}
	var got []string
	for _, crd := range own(t) {
		got = append(got, crd.Name)
		for _, version := range crd.Spec.Versions {
			if version.Subresources == nil || version.Subresources.Status == nil {
				t.Errorf("%s %s has no status subresource", crd.Name, version.Name)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("definitions are %v, want %v", got, want)
	}
}

// The API server would refuse an invalid definition only at start-up.
func TestDefinitionsAreValid(t *testing.T) {
	for _, crd := range own(t) {
		v1.SetDefaults_CustomResourceDefinition(crd)
		v1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
		internal := &apiextensions.CustomResourceDefinition{}
		if err := v1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, internal, nil); err != nil {
			t.Fatalf("%s: %v", crd.Name, err)
		}
		for _, version := range internal.Spec.Versions {
			if version.Storage {
				internal.Status.StoredVersions = []string{version.Name}
			}
		}
		for _, fault := range validation.ValidateCustomResourceDefinition(t.Context(), internal) {
			t.Errorf("%s: %v", crd.Name, fault)
		}
	}
}

func TestFieldsStandInThePublishedDefinitions(t *testing.T) {
	dir := os.Getenv(published)
	if dir == "" {
		t.Logf("%s is not set: ours are checked for inner validity alone", published)
		return
	}
	theirs, err := read(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*v1.CustomResourceDefinition{}
	for _, crd := range theirs {
		byName[crd.Name] = crd
	}
	for _, crd := range own(t) {
		other, ok := byName[crd.Name]
		if !ok {
			t.Logf("%s: not among the published ones", crd.Name)
			continue
		}
		if crd.Spec.Scope != other.Spec.Scope || crd.Spec.Names.Kind != other.Spec.Names.Kind {
			t.Errorf("%s: scope or kind differ", crd.Name)
		}
		for _, version := range crd.Spec.Versions {
			known, ok := fieldsOf(other, version.Name)
			if !ok {
				t.Logf("%s %s: not among the published versions", crd.Name, version.Name)
				continue
			}
			ours, _ := fieldsOf(crd, version.Name)
			for _, path := range sortedKeys(ours) {
				if !known.has(path) && !otherShape(crd.Name, path) {
					t.Errorf("%s %s: %s is not published", crd.Name, version.Name, path)
				}
			}
		}
	}
}

// otherShape says that a field belongs to the shape of the other version of a
// Dynamo graph, which both of our versions hold for want of a conversion webhook.
func otherShape(crd, path string) bool {
	if crd != "dynamographdeployments.nvidia.com" {
		return false
	}
	return path == ".spec.env" || strings.HasPrefix(path, ".spec.env[") || strings.HasPrefix(path, ".spec.env.") ||
		strings.HasPrefix(path, ".spec.components") || strings.HasPrefix(path, ".status.components")
}

// fields are the paths of a schema, and whether anything may stand below them.
type fields map[string]bool

func fieldsOf(crd *v1.CustomResourceDefinition, version string) (fields, bool) {
	for _, v := range crd.Spec.Versions {
		if v.Name == version {
			all := fields{}
			all.add("", v.Schema.OpenAPIV3Schema)
			return all, true
		}
	}
	return nil, false
}

func (f fields) add(path string, schema *v1.JSONSchemaProps) {
	f[path] = schema.XPreserveUnknownFields != nil && *schema.XPreserveUnknownFields
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		child := schema.Properties[name]
		f.add(path+"."+name, &child)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		f.add(path+"[]", schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		f.add(path+".*", schema.AdditionalProperties.Schema)
	}
}

func (f fields) has(path string) bool {
	if _, ok := f[path]; ok {
		return true
	}
	for parent := path; parent != ""; {
		cut := max(strings.LastIndexByte(parent, '.'), strings.LastIndexByte(parent, '['))
		parent = parent[:cut]
		if open, ok := f[parent]; ok {
			return open
		}
	}
	return false
}
