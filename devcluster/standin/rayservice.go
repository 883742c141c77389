package standin

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// rayHash marks a cluster with the spec it was made from, without the parts
	// that may change in place.
	rayHash = "ray.io/hash-without-replicas-and-workers-to-delete"
	// rayDeletionDelay is how long a cluster lives on after traffic has left it.
	rayDeletionDelay = 60 * time.Second
)

// rayServices stands in for the RayService controller of KubeRay: a cluster per
// version of the spec, the next one pending until its applications run, traffic
// moved then, and the old one deleted a minute later.
type rayServices struct {
	*cluster
	kind     *kind
	loop     *loop
	clusters *rayClusters
}

func newRayServices(c *cluster, clusters *rayClusters) *rayServices {
	r := &rayServices{cluster: c, loop: newLoop("rayservices"), clusters: clusters, kind: &kind{
		gvr:       schema.GroupVersionResource{Group: "ray.io", Version: "v1", Resource: "rayservices"},
		gvk:       schema.GroupVersionKind{Group: "ray.io", Version: "v1", Kind: "RayService"},
		finalizer: "ray.io/rayservice-finalizer",
	}}
	r.loop.reconcile = r.reconcile
	clusters.moved = func(namespace, service string) { r.loop.queue.Add(namespace + "/" + service) }
	return r
}

func (r *rayServices) reconcile(ctx context.Context, namespace, name string) (time.Duration, error) {
	object := r.kind.get(namespace, name)
	if object == nil {
		return 0, nil
	}
	clusters, err := r.clustersOf(namespace, name)
	if err != nil {
		return 0, err
	}
	if object.GetDeletionTimestamp() != nil {
		return r.remove(ctx, object, clusters)
	}
	if err := r.kind.claim(ctx, r.cluster, object); err != nil {
		return 0, err
	}
	raw, _, _ := unstructured.NestedMap(object.Object, "spec", "rayClusterConfig")
	hash := specHash(raw)
	goal := name + "-" + shortHash(5, string(object.GetUID()), hash)
	if clusters[goal] == nil {
		if err := r.createCluster(ctx, object, goal, hash, raw); err != nil {
			return 0, err
		}
	} else if err := r.resize(ctx, object, clusters[goal], raw); err != nil {
		return 0, err
	}
	view := serviceView{object: object, goal: goal, config: serveConfig(object)}
	for _, cluster := range clusters {
		spec := rayClusterSpec{}
		if err := decode(cluster.Object["spec"], &spec); err != nil {
			return 0, fmt.Errorf("raycluster %s/%s: %w", namespace, cluster.GetName(), err)
		}
		view.clusters = append(view.clusters, clusterView{
			object: cluster, spec: spec, pods: r.podsOf(labelRayCluster, namespace, cluster.GetName()),
		})
	}
	status, active := view.status(time.Now())
	if err := r.kind.writeStatus(ctx, r.cluster, object, status); err != nil {
		return 0, err
	}
	if active == "" {
		return 0, nil
	}
	owner := controlledBy(object, r.kind.gvk)
	if err := r.ensureService(ctx, rayHeadService(name+"-head-svc", namespace, active, owner)); err != nil {
		return 0, err
	}
	if err := r.ensureService(ctx, rayServeService(name+"-serve-svc", namespace, active, owner)); err != nil {
		return 0, err
	}
	return r.retire(ctx, status, clusters, active, goal)
}

func (r *rayServices) clustersOf(namespace, name string) (map[string]*unstructured.Unstructured, error) {
	found, err := r.clusters.kind.informer.GetIndexer().ByIndex(byOrigin, namespace+"/"+name)
	if err != nil {
		return nil, fmt.Errorf("rayservice %s/%s: clusters: %w", namespace, name, err)
	}
	clusters := make(map[string]*unstructured.Unstructured, len(found))
	for _, obj := range found {
		if cluster, ok := obj.(*unstructured.Unstructured); ok {
			clusters[cluster.GetName()] = cluster
		}
	}
	return clusters, nil
}

func (r *rayServices) createCluster(ctx context.Context, object *unstructured.Unstructured, name, hash string, spec map[string]any) error {
	annotations := union(serviceFate(object), map[string]string{rayHash: hash})
	cluster := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	cluster.SetGroupVersionKind(r.clusters.kind.gvk)
	cluster.SetName(name)
	cluster.SetNamespace(object.GetNamespace())
	cluster.SetAnnotations(annotations)
	cluster.SetLabels(union(object.GetLabels(), map[string]string{
		labelRayOrigin: object.GetName(), labelRayOriginKind: "RayService",
	}))
	cluster.SetOwnerReferences([]metav1.OwnerReference{controlledBy(object, r.kind.gvk)})
	_, err := r.dynamic.Resource(r.clusters.kind.gvr).Namespace(object.GetNamespace()).Create(ctx, cluster, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("raycluster %s/%s: create: %w", object.GetNamespace(), name, err)
	}
	return nil
}

// resize passes on what needs no new cluster: replicas, and how pods fare.
func (r *rayServices) resize(ctx context.Context, object, cluster *unstructured.Unstructured, spec map[string]any) error {
	have, _, _ := unstructured.NestedFieldNoCopy(cluster.Object, "spec")
	haveSpec, _ := have.(map[string]any)
	diff := difference(
		map[string]any{"workerGroupSpecs": haveSpec["workerGroupSpecs"]},
		map[string]any{"workerGroupSpecs": spec["workerGroupSpecs"]})
	patch := map[string]any{}
	if len(diff) > 0 {
		patch["spec"] = diff
	}
	fate := difference(asAny(fateOf(cluster.GetAnnotations())), asAny(serviceFate(object)))
	if len(fate) > 0 {
		patch["metadata"] = map[string]any{"annotations": fate}
	}
	if len(patch) == 0 || cluster.GetDeletionTimestamp() != nil {
		return nil
	}
	return r.clusters.kind.patch(ctx, r.cluster, cluster, patch)
}

// retire deletes clusters that neither serve nor are to serve, when the delay
// after the move is over.
func (r *rayServices) retire(ctx context.Context, status map[string]any, clusters map[string]*unstructured.Unstructured, active, goal string) (time.Duration, error) {
	_, since, _ := findCondition(status, "UpgradeInProgress")
	wait := time.Until(since.Add(rayDeletionDelay))
	var again time.Duration
	for name, cluster := range clusters {
		if name == active || name == goal || cluster.GetDeletionTimestamp() != nil {
			continue
		}
		if wait > 0 {
			again = wait
			continue
		}
		if err := r.deleteCluster(ctx, cluster); err != nil {
			return 0, err
		}
	}
	return again, nil
}

// remove takes the clusters down before the finalizer goes, so that a deleted
// RayService shows until its pods are gone.
func (r *rayServices) remove(ctx context.Context, object *unstructured.Unstructured, clusters map[string]*unstructured.Unstructured) (time.Duration, error) {
	pods := 0
	for name, cluster := range clusters {
		pods += len(r.podsOf(labelRayCluster, object.GetNamespace(), name))
		if cluster.GetDeletionTimestamp() != nil {
			continue
		}
		if err := r.deleteCluster(ctx, cluster); err != nil {
			return 0, err
		}
	}
	// A cluster may go before its pods, which then no longer bring us back.
	if pods += r.orphans(object); pods > 0 || len(clusters) > 0 {
		return time.Second, nil
	}
	return r.kind.finish(ctx, r.cluster, object, 0)
}

// orphans counts pods of the clusters that the status still names.
func (r *rayServices) orphans(object *unstructured.Unstructured) int {
	pods := 0
	for _, which := range []string{"activeServiceStatus", "pendingServiceStatus"} {
		name, _, _ := unstructured.NestedString(object.Object, "status", which, "rayClusterName")
		if name != "" {
			pods += len(r.podsOf(labelRayCluster, object.GetNamespace(), name))
		}
	}
	return pods
}

func (r *rayServices) deleteCluster(ctx context.Context, cluster *unstructured.Unstructured) error {
	background := metav1.DeletePropagationBackground
	err := r.dynamic.Resource(r.clusters.kind.gvr).Namespace(cluster.GetNamespace()).
		Delete(ctx, cluster.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("raycluster %s/%s: delete: %w", cluster.GetNamespace(), cluster.GetName(), err)
	}
	return nil
}

// specHash is the hash of a cluster spec without the numbers of workers.
func specHash(spec map[string]any) string {
	fixed := (&unstructured.Unstructured{Object: spec}).DeepCopy().Object
	groups, _ := fixed["workerGroupSpecs"].([]any)
	for _, item := range groups {
		if group, ok := item.(map[string]any); ok {
			for _, key := range []string{"replicas", "minReplicas", "maxReplicas", "scaleStrategy"} {
				delete(group, key)
			}
		}
	}
	text, err := json.Marshal(fixed)
	if err != nil {
		panic(fmt.Sprintf("cluster spec: %v", err)) // it came from JSON
	}
	return shortHash(16, string(text))
}

// serviceFate is what a RayService says about its pods, and what they serve.
func serviceFate(object *unstructured.Unstructured) map[string]string {
	fate := fateOf(object.GetAnnotations())
	if model := servedModel(object); model != "" {
		fate[Model] = model
	}
	return fate
}

func asAny(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = value
	}
	return out
}
