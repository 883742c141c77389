package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// Loss is what goes when a product's CustomResourceDefinitions are removed.
type Loss struct {
	CRDs  []api.CrdLoss
	Total int
	// Confirmation stands for exactly this.
	Confirmation string

	definitions []definition
}

// definition is a CustomResourceDefinition that is there.
type definition struct {
	name     string
	uid      types.UID
	resource schema.GroupVersionResource
}

// Loss lists every custom resource of a product, as the caller. That the caller may delete the definitions is asked too.
func (i *Installer) Loss(ctx context.Context, config *rest.Config, p Product) (Loss, error) {
	a, err := newAccess(config)
	if err != nil {
		return Loss{}, err
	}
	return a.loss(ctx, p)
}

func (a *access) loss(ctx context.Context, p Product) (Loss, error) {
	out := Loss{CRDs: []api.CrdLoss{}}
	found, err := a.dynamic.Resource(crdResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return out, err
	}
	client, err := metadata.NewForConfig(a.config)
	if err != nil {
		return out, err
	}
	digest := sha256.New()
	for _, o := range found.Items {
		d := definitionOf(&o)
		if !p.owns(d.resource.Group, d.resource.Resource) {
			continue
		}
		err := a.dynamic.Resource(crdResource).Delete(ctx, d.name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && !apierrors.IsNotFound(err) {
			return out, err
		}
		loss := api.CrdLoss{Name: d.name, Objects: []string{}}
		fmt.Fprintf(digest, "%s %s\n", d.name, d.uid)
		var ids []string
		for options := (metav1.ListOptions{Limit: 500}); ; {
			objects, err := client.Resource(d.resource).List(ctx, options)
			if apierrors.IsNotFound(err) { // served no more
				break
			}
			if err != nil {
				return out, err
			}
			for _, o := range objects.Items {
				ids = append(ids, string(o.UID))
				if loss.Count++; len(loss.Objects) < maxListed {
					loss.Objects = append(loss.Objects, strings.TrimPrefix(o.Namespace+"/"+o.Name, "/"))
				}
			}
			if options.Continue = objects.Continue; options.Continue == "" {
				break
			}
		}
		slices.Sort(ids)
		fmt.Fprintln(digest, ids)
		out.CRDs, out.definitions = append(out.CRDs, loss), append(out.definitions, d)
		out.Total += loss.Count
	}
	out.Confirmation = hex.EncodeToString(digest.Sum(nil)[:16])
	return out, nil
}

func definitionOf(o *unstructured.Unstructured) definition {
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(o.Object, path...)
		return s
	}
	d := definition{name: o.GetName(), uid: o.GetUID(), resource: schema.GroupVersionResource{Group: text("spec", "group"), Resource: text("spec", "names", "plural")}}
	versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
	for _, v := range versions {
		if v, ok := v.(map[string]any); ok && v["served"] == true {
			d.resource.Version, _ = v["name"].(string)
			if v["storage"] == true {
				break
			}
		}
	}
	return d
}

// Message says it in a line.
func (l Loss) Message() string {
	if len(l.CRDs) == 0 {
		return "There are no CustomResourceDefinitions to remove"
	}
	return fmt.Sprintf("%d CustomResourceDefinitions would be removed, and with them %d custom resources", len(l.CRDs), l.Total)
}

// removeTime is how long the objects of a definition may take to go.
const removeTime = 3 * time.Minute

// removeDefinition deletes one, with everything that there is of it, and waits until it is gone.
func (a *access) removeDefinition(ctx context.Context, d definition, say func(string, ...any)) error {
	client := a.dynamic.Resource(crdResource)
	err := client.Delete(ctx, d.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &d.uid}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	objects, err := metadata.NewForConfig(a.config)
	if err != nil {
		return err
	}
	held := ""
	return poll(ctx, removeTime, 500*time.Millisecond, func() (bool, error) {
		found, err := client.Get(ctx, d.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && found.GetUID() != d.uid {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		left, err := objects.Resource(d.resource).List(ctx, metav1.ListOptions{Limit: 500})
		if err == nil && len(left.Items) > 0 {
			first := left.Items[0]
			held = fmt.Sprintf("%d custom resources are left, the first is %s", len(left.Items), strings.TrimPrefix(first.Namespace+"/"+first.Name, "/"))
			if len(first.Finalizers) > 0 {
				held += ", held by the finalizer " + strings.Join(first.Finalizers, ", ")
			}
			say("%s", held)
		}
		return false, nil
	}, func() error {
		return api.Errorf(api.ErrorCodeUnavailable,
			"CustomResourceDefinition %s is not gone after %s: %s. Finalizers are taken off by the runtime's operator, which has to run for that", d.name, removeTime, held)
	})
}
