package deploy

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// Namespace is where the manifests put everything that has a namespace and is not for kube-system.
const Namespace = "kubefoundry-system"

// fieldManager is who the API server says set the fields.
const fieldManager = "kubefoundry-install"

//go:embed kubefoundry.yaml
var manifests []byte

// Manifests returns the objects of kubefoundry.yaml, new ones each time, in the order in which they can be applied.
func Manifests() ([]*unstructured.Unstructured, error) { return Parse(manifests) }

// Parse returns the objects of a YAML stream. A key that stands twice is an error.
func Parse(stream []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("manifests: %w", err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			return nil, fmt.Errorf("manifests: document %d: %w", len(objects)+1, err)
		}
		if len(object.Object) > 0 { // else it is only a comment
			objects = append(objects, object)
		}
	}
}

// Apply applies the objects of kubefoundry.yaml. It may be repeated.
func Apply(ctx context.Context, config *rest.Config) error {
	objects, err := Manifests()
	if err != nil {
		return err
	}
	return ApplyObjects(ctx, config, objects)
}

// ApplyObjects applies objects one after the other by server-side apply, and takes fields over from others. A field that the
// API server does not know is an error.
func ApplyObjects(ctx context.Context, config *rest.Config, objects []*unstructured.Unstructured) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("manifests: %w", err)
	}
	for _, object := range objects {
		body, err := object.MarshalJSON()
		if err != nil {
			return fmt.Errorf("manifests: %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		force := true
		_, err = Resource(client, object).Patch(ctx, object.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
			FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict, Force: &force,
		})
		if err != nil {
			return fmt.Errorf("manifests: %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// Resource returns the client of an object's resource, in its namespace if it has one. The resource is told by the kind, not
// asked of the API server: discovery is slow, and incomplete as long as an API such as KubeFoundry's own is not available.
func Resource(client dynamic.Interface, object *unstructured.Unstructured) dynamic.ResourceInterface {
	plural, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	resource := client.Resource(plural)
	if namespace := object.GetNamespace(); namespace != "" {
		return resource.Namespace(namespace)
	}
	return resource
}
