package devcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// defineTimeout bounds a definition's way to being served.
const defineTimeout = time.Minute

// Definitions is the resource of CustomResourceDefinitions.
func Definitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

// Define creates one of the slim CustomResourceDefinitions, as in
// "workspaces.kaito.sh", and waits until it is served. One of this name that is
// there stays; one that is on its way out is waited for. It is for clusters
// without [Operators], which bring them all.
func (c *Cluster) Define(ctx context.Context, name string) error {
	from, err := findSource()
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(from.dir, "crds", "schema", name+".yaml"))
	if err != nil {
		return fmt.Errorf("definition %s: %w", name, err)
	}
	var crd unstructured.Unstructured
	if err := yaml.Unmarshal(raw, &crd.Object); err != nil {
		return fmt.Errorf("definition %s: %w", name, err)
	}
	client, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("definition %s: %w", name, err)
	}
	definitions := client.Resource(Definitions())
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, defineTimeout, true, func(ctx context.Context) (bool, error) {
		if _, err := definitions.Create(ctx, crd.DeepCopy(), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return false, err
		}
		there, err := definitions.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil && there.GetDeletionTimestamp() == nil && established(there), err
	})
	if err != nil {
		return fmt.Errorf("definition %s is not served: %w", name, err)
	}
	return nil
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, condition := range conditions {
		if m, ok := condition.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}
