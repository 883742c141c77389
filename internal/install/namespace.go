package install

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// makeNamespace makes a product's namespace, with a label that says so. One that is there already stays as it is.
func (a *access) makeNamespace(ctx context.Context, p Product) (string, error) {
	namespaces := a.kube.CoreV1().Namespaces()
	there, err := namespaces.Get(ctx, p.Namespace, metav1.GetOptions{})
	switch {
	case err == nil && there.DeletionTimestamp != nil:
		return "", fmt.Errorf("namespace %s is being deleted: try again when it is gone", p.Namespace)
	case err == nil:
		return "Is there already", nil
	case !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err): // who may not get it may still create it
		return "", fmt.Errorf("namespace %s: %w", p.Namespace, err)
	}
	labels := map[string]string{labelManagedBy: managedByUs, labelMadeFor: p.ID}
	maps.Copy(labels, p.labels)
	_, err = namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Namespace, Labels: labels}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return "Is there already", nil
	}
	if err != nil {
		return "", fmt.Errorf("namespace %s: %w", p.Namespace, err)
	}
	return "Created", nil
}

// Namespace is what became of a product's namespace.
type Namespace struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted"`
	// Why it stays, and what is in it.
	Reason string   `json:"reason,omitempty"`
	Left   []string `json:"left,omitempty"`
}

// goneTime is how long the rest of a release may take to go.
const goneTime = time.Minute

// deleteNamespace deletes a product's namespace where this package made it and nothing else is in it.
func (a *access) deleteNamespace(ctx context.Context, p Product) (Namespace, error) {
	out := Namespace{Name: p.Namespace}
	namespaces := a.kube.CoreV1().Namespaces()
	found, err := namespaces.Get(ctx, p.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		out.Deleted = true
		return out, nil
	case apierrors.IsForbidden(err):
		out.Reason = "It stays, for you may not look at it"
		return out, nil
	case err != nil:
		return out, fmt.Errorf("namespace %s: %w", p.Namespace, err)
	case found.Labels[labelManagedBy] != managedByUs || found.Labels[labelMadeFor] != p.ID:
		out.Reason = "It stays, for KubeFoundry did not make it"
		return out, nil
	case found.DeletionTimestamp != nil:
		out.Deleted, out.Reason = true, "It is being deleted already"
		return out, nil
	}
	var staying, going []string
	err = poll(ctx, goneTime, time.Second, func() (bool, error) {
		staying, going, err = a.contents(ctx, p.Namespace)
		return len(going) == 0, err
	}, func() error { return nil })
	staying = append(staying, going...)
	switch {
	case context.Cause(ctx) != nil:
		return out, context.Cause(ctx)
	case err != nil:
		out.Reason = "It stays, for what is in it is not known: " + err.Error()
		return out, nil //nolint:nilerr // the release is gone all the same; the answer says why the namespace is not
	case len(staying) > 0:
		out.Reason, out.Left = fmt.Sprintf("It stays, for there is something else in it: %s", few(staying)), staying[:min(len(staying), maxListed)]
		return out, nil
	}
	version := found.ResourceVersion
	err = namespaces.Delete(ctx, p.Namespace, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &found.UID, ResourceVersion: &version}})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsConflict(err):
		out.Reason = "It stays: " + err.Error()
		return out, nil
	case err != nil && !apierrors.IsNotFound(err):
		return out, fmt.Errorf("namespace %s: %w", p.Namespace, err)
	}
	out.Deleted = true
	return out, nil
}

// maxListed is how many objects are named.
const maxListed = 100

func few(names []string) string {
	if len(names) <= 5 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(names[:5], ", "), len(names)-5)
}

// madeByItself are resources that Kubernetes makes, or that programs leave which run no more: events tell the past, Leases
// are held by nobody then, and endpoints go with their Service.
func madeByItself(resource schema.GroupResource, name string) bool {
	switch resource {
	case schema.GroupResource{Resource: "events"}, schema.GroupResource{Group: "events.k8s.io", Resource: "events"},
		schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"},
		schema.GroupResource{Resource: "endpoints"}, schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"},
		schema.GroupResource{Group: "metrics.k8s.io", Resource: "pods"}:
		return true
	case schema.GroupResource{Resource: "serviceaccounts"}:
		return name == "default"
	case schema.GroupResource{Resource: "configmaps"}:
		return name == "kube-root-ca.crt" || name == "openshift-service-ca.crt"
	}
	return false
}

// contents is everything in a namespace, of every resource that the cluster serves: what stays, and what is on its way out. It
// fails where anything cannot be listed, for then nobody knows.
func (a *access) contents(ctx context.Context, namespace string) (staying, going []string, err error) {
	served, err := a.kube.Discovery().ServerPreferredNamespacedResources()
	if err != nil {
		return nil, nil, err
	}
	served = discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list"}}, served)
	resources, err := discovery.GroupVersionResources(served)
	if err != nil {
		return nil, nil, err
	}
	client, err := metadata.NewForConfig(a.config)
	if err != nil {
		return nil, nil, err
	}
	for resource := range resources {
		found, err := client.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 2 * maxListed})
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) { // gone since
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, o := range found.Items {
			name := resource.GroupResource().String() + " " + o.Name
			switch {
			case madeByItself(resource.GroupResource(), o.Name):
			case o.DeletionTimestamp != nil, collected(ctx, a, &o):
				going = append(going, name)
			default:
				staying = append(staying, name)
			}
		}
	}
	slices.Sort(staying)
	slices.Sort(going)
	return staying, going, nil
}

// collected tells whether the garbage collector will take an object: its owner is gone, or on its way.
func collected(ctx context.Context, a *access, o *metav1.PartialObjectMetadata) bool {
	for _, owner := range o.OwnerReferences {
		client, err := a.client(schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind), o.Namespace, o.Namespace)
		if err != nil {
			return false
		}
		found, err := client.Get(ctx, owner.Name, metav1.GetOptions{})
		gone := apierrors.IsNotFound(err) || err == nil && (found.GetUID() != owner.UID || found.GetDeletionTimestamp() != nil)
		if !gone && err == nil {
			refs := found.GetOwnerReferences()
			if len(refs) > 0 { // a pod of a ReplicaSet whose Deployment is gone
				gone = collected(ctx, a, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, OwnerReferences: refs}})
			}
		}
		if !gone {
			return false
		}
	}
	return len(o.OwnerReferences) > 0
}
