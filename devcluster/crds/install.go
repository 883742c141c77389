package crds

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// owner is the field manager of the definitions.
const owner = "devcluster"

// Install applies the definitions of [Definitions] and returns when the API
// server serves them all. It may be called again on a cluster that has them.
//
// They go through server-side apply: the published Ray definitions are larger
// than the annotation that client-side apply would put on them may be.
func Install(ctx context.Context, cfg *rest.Config, dir string) error {
	all, err := Definitions(dir)
	if err != nil {
		return err
	}
	client, err := clientset.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("definitions client: %w", err)
	}
	api := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, crd := range all {
		body, err := applyBody(crd)
		if err != nil {
			return fmt.Errorf("definition %s: %w", crd.Name, err)
		}
		force := true
		_, err = api.Patch(ctx, crd.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: owner, Force: &force})
		if err != nil {
			return fmt.Errorf("definition %s: apply: %w", crd.Name, err)
		}
	}
	for _, crd := range all {
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			got, err := api.Get(ctx, crd.Name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			return established(got) && served(client.Discovery(), crd), nil
		})
		if err != nil {
			return fmt.Errorf("definition %s: not served: %w", crd.Name, err)
		}
	}
	return nil
}

// applyBody is the definition without the fields that an apply must not claim:
// an empty status would be refused, and annotations say how a file was generated.
func applyBody(crd *apiextensions.CustomResourceDefinition) ([]byte, error) {
	return json.Marshal(map[string]any{
		"apiVersion": apiextensions.SchemeGroupVersion.String(),
		"kind":       "CustomResourceDefinition",
		"metadata":   map[string]any{"name": crd.Name, "labels": crd.Labels},
		"spec":       crd.Spec,
	})
}

// served says whether every version is in discovery. The API server establishes a
// definition first, and answers 404 for its objects for a moment after that.
func served(client discovery.DiscoveryInterface, crd *apiextensions.CustomResourceDefinition) bool {
	for _, version := range crd.Spec.Versions {
		list, err := client.ServerResourcesForGroupVersion(crd.Spec.Group + "/" + version.Name)
		if err != nil {
			return false
		}
		has := slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == crd.Spec.Names.Plural })
		if version.Served && !has {
			return false
		}
	}
	return true
}

func established(crd *apiextensions.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensions.Established {
			return c.Status == apiextensions.ConditionTrue
		}
	}
	return false
}
