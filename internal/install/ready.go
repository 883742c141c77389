package install

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubefoundry/kubefoundry/api"
)

// workload is something that a release runs.
type workload struct{ kind, namespace, name string }

func (w workload) String() string { return w.kind + " " + w.namespace + "/" + w.name }

// workloads are those of a release.
func workloads(text, namespace string) (all []workload) {
	for document := range strings.SplitSeq("\n"+text, "\n---") {
		var o unstructured.Unstructured
		if yaml.Unmarshal([]byte(document), &o.Object) != nil || o.GroupVersionKind().Group != appsv1.GroupName ||
			!slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, o.GetKind()) {
			continue
		}
		w := workload{o.GetKind(), o.GetNamespace(), o.GetName()}
		if w.namespace == "" {
			w.namespace = namespace
		}
		all = append(all, w)
	}
	return all
}

// ready waits until everything that a product's releases run is ready, and says how far it is.
func (i *Installer) waitReady(ctx context.Context, a *access, p Product, say func(string, ...any)) (string, error) {
	var all []workload
	for _, c := range p.charts {
		h, err := a.release(ctx, c)
		if err != nil {
			return "", err
		}
		last, err := h.last()
		if err != nil {
			return "", err
		}
		if last != nil {
			all = append(all, workloads(last.Manifest, c.namespace)...)
		}
	}
	var waiting []string
	err := poll(ctx, i.ready, 500*time.Millisecond, func() (bool, error) {
		waiting = nil
		for _, w := range all {
			state, err := a.stateOf(ctx, w)
			if err != nil {
				return false, err
			}
			if state != "" {
				waiting = append(waiting, w.String()+": "+state)
			}
		}
		if len(waiting) > 0 {
			say("%d of %d are ready. %s", len(all)-len(waiting), len(all), strings.Join(waiting, "; "))
		}
		return len(waiting) == 0, nil
	}, func() error {
		return api.Errorf(api.ErrorCodeUnavailable, "%s is installed, but %d of %d are not ready after %s: %s", p.Name, len(waiting), len(all), i.ready, strings.Join(waiting, "; "))
	})
	if apierrors.IsForbidden(err) {
		return "Whether it is ready is not known: " + err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d are ready", len(all), len(all)), nil
}

// stateOf is why something is not ready; empty where it is.
func (a *access) stateOf(ctx context.Context, w workload) (string, error) {
	resource := appsv1.SchemeGroupVersion.WithResource(strings.ToLower(w.kind) + "s")
	o, err := a.dynamic.Resource(resource).Namespace(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "it is not there", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", w, err)
	}
	number := func(path ...string) int64 {
		n, _, _ := unstructured.NestedInt64(o.Object, path...)
		return n
	}
	seen := number("status", "observedGeneration") >= o.GetGeneration()
	desired, updated, available := int64(1), number("status", "updatedReplicas"), number("status", "availableReplicas")
	if n, ok, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); ok {
		desired = n
	}
	if w.kind == "DaemonSet" {
		desired, updated, available = number("status", "desiredNumberScheduled"), number("status", "updatedNumberScheduled"), number("status", "numberAvailable")
	}
	if seen && updated >= desired && available >= desired {
		return "", nil
	}
	state := fmt.Sprintf("%d of %d replicas", min(updated, available), desired)
	var why strings.Builder
	if w.kind == "Deployment" {
		var d appsv1.Deployment
		if runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d) == nil {
			for _, c := range d.Status.Conditions {
				if c.Type == appsv1.DeploymentReplicaFailure || c.Type == appsv1.DeploymentProgressing && c.Status == "False" {
					why.WriteString(" (" + short(c.Message) + ")")
				}
			}
		}
	}
	return state + why.String(), nil
}
