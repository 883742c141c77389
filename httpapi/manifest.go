package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// maxCompanions is how many objects of a kind are looked through.
const maxCompanions = 100

// GetDeploymentManifest is the objects that a deployment is, as they are in the cluster now, read in the caller's name.
func (s *Server) GetDeploymentManifest(w http.ResponseWriter, r *http.Request, name api.Name, p api.GetDeploymentManifestParams) {
	d, err := s.deploymentMeant(r, name, p.Namespace, p.Runtime)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var primary *unstructured.Unstructured
	var companions []*unstructured.Unstructured
	var warnings []string
	err = s.asCaller(r.Context(), r, "get", objectOf(d), func(ctx context.Context, config *rest.Config) error {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() (err error) {
			primary, err = client.Resource(resourceOf(d)).Namespace(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
			return err
		})
		group.Go(func() error {
			companions, warnings = companionsOf(ctx, client, d)
			return nil
		})
		return group.Wait()
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	objects := []map[string]any{shown(primary)}
	for _, companion := range companions {
		objects = append(objects, shown(companion))
	}
	writeJSON(w, http.StatusOK, api.DeploymentManifests{
		Resources:       manifestsOf(objects...),
		PrimaryResource: api.PrimaryResource{Kind: primary.GetKind(), ApiVersion: primary.GetAPIVersion()}, Warnings: warnings,
	})
}

// deploymentMeant is the deployment that is meant, with its resource's UID.
func (s *Server) deploymentMeant(r *http.Request, name, namespace, runtime string) (*api.Deployment, error) {
	document, err := s.deployment(r, name, namespace, runtime)
	if err != nil {
		return nil, err
	}
	d := &api.Deployment{}
	if err := json.Unmarshal(document, d); err != nil {
		return nil, fmt.Errorf("deployment %s: %w", name, err)
	}
	return d, nil
}

func resourceOf(d *api.Deployment) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: d.Resource.Group, Version: d.Resource.Version, Resource: d.Resource.Resource}
}

// objectOf names a deployment's custom resource, for errors and the log.
func objectOf(d *api.Deployment) string {
	return resourceOf(d).GroupResource().String() + " " + d.Namespace + "/" + d.Name
}

// companionsOf are the objects that KubeFoundry made beside a custom resource. Those of a kind that the caller may not list
// are left out, and said to be.
func companionsOf(ctx context.Context, client dynamic.Interface, d *api.Deployment) (found []*unstructured.Unstructured, warnings []string) {
	selector := labels.SelectorFromSet(labels.Set{runtimes.LabelManagedBy: runtimes.ManagedBy, runtimes.LabelInstance: d.Name}).String()
	for _, resource := range []schema.GroupVersionResource{
		companionResources["Service"], companionResources["PersistentVolumeClaim"], {Version: "v1", Resource: "configmaps"},
	} {
		list, err := client.Resource(resource).Namespace(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: maxCompanions})
		switch {
		case apierrors.IsForbidden(err):
			warnings = append(warnings, "You may not list "+resource.Resource+": what of them goes with it is not shown.")
			continue
		case err != nil:
			_, why := explain(err)
			warnings = append(warnings, "Its "+resource.Resource+" cannot be read: "+why)
			continue
		}
		for i := range list.Items {
			o := &list.Items[i]
			// Another runtime's deployment may have the same name.
			if belongsTo(o, d.Resource.Uid) || len(o.GetOwnerReferences()) == 0 && ofProvider(o, d) {
				if o.GetKind() == "" {
					o.SetGroupVersionKind(list.GroupVersionKind())
					o.SetKind(strings.TrimSuffix(list.GetKind(), "List"))
				}
				found = append(found, o)
			}
		}
	}
	return found, warnings
}

func ofProvider(o *unstructured.Unstructured, d *api.Deployment) bool {
	provider, said := o.GetLabels()[runtimes.LabelProvider]
	return !said || provider == d.Provider
}

// shown is an object without what only the API server needs.
func shown(o *unstructured.Unstructured) map[string]any {
	o.SetManagedFields(nil)
	annotations := o.GetAnnotations()
	if slices.Contains(keys(annotations), lastApplied) {
		delete(annotations, lastApplied) // the whole object once more
		o.SetAnnotations(annotations)
	}
	return o.Object
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

func keys(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for key := range m {
		list = append(list, key)
	}
	return list
}
