package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubefoundry/kubefoundry/api"
)

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedByUs    = "kubefoundry"
	// labelMadeFor is on what this package made: the product's id.
	labelMadeFor = "kubefoundry.io/installed-for"
)

// definitions reads CustomResourceDefinitions, and nothing else: they come from the network.
func definitions(file string, b []byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096); ; {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, api.Errorf(api.ErrorCodeUnavailable, "%s cannot be read: %s", file, err)
		}
		if len(o.Object) == 0 {
			continue
		}
		if o.GetKind() != "CustomResourceDefinition" || o.GroupVersionKind().Group != crdResource.Group {
			return nil, api.Errorf(api.ErrorCodeUnavailable, "%s holds a %s %s, which is no CustomResourceDefinition", file, o.GetKind(), o.GetName())
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "%s holds no CustomResourceDefinition", file)
	}
	return all, nil
}

// applyDefinitions applies CustomResourceDefinitions and waits until they are served. It says what it did.
func (a *access) applyDefinitions(ctx context.Context, p Product, all []*unstructured.Unstructured, shared bool) (string, error) {
	client := a.dynamic.Resource(crdResource)
	applied := 0
	for _, o := range all {
		there, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("CustomResourceDefinition %s: %w", o.GetName(), err)
		}
		if shared && err == nil && there.GetLabels()[labelManagedBy] != managedByUs {
			continue
		}
		o = o.DeepCopy()
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[labelManagedBy], labels[labelMadeFor] = managedByUs, p.ID
		o.SetLabels(labels)
		unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(o.Object, "status")
		if _, err := client.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: managedByUs, Force: true}); err != nil {
			return "", fmt.Errorf("CustomResourceDefinition %s: %w", o.GetName(), err)
		}
		applied++
	}
	for _, o := range all {
		if err := a.established(ctx, o.GetName()); err != nil {
			return "", err
		}
	}
	a.discovery.Invalidate()
	a.mapper.Reset()
	if applied == 0 {
		return "Is there already, by somebody else's hand, and stays as it is", nil
	}
	return "Applied", nil
}

func (a *access) established(ctx context.Context, name string) error {
	return poll(ctx, time.Minute, 200*time.Millisecond, func() (bool, error) {
		o, err := a.dynamic.Resource(crdResource).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("CustomResourceDefinition %s: %w", name, err)
		}
		return isTrue(o, "Established"), nil
	}, func() error {
		return api.Errorf(api.ErrorCodeUnavailable, "CustomResourceDefinition %s is not served within a minute", name)
	})
}

func isTrue(o *unstructured.Unstructured, condition string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == condition {
			return c["status"] == "True"
		}
	}
	return false
}

// poll asks until it is so, or for so long, or until ctx ends.
func poll(ctx context.Context, limit, every time.Duration, is func() (bool, error), tooLong func() error) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := is()
		if err != nil || ok {
			return err
		}
		if time.Now().After(deadline) {
			return tooLong()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(every):
		}
	}
}
