package standin

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// kind is one kind of custom resource that a stand-in moves.
type kind struct {
	gvr       schema.GroupVersionResource
	gvk       schema.GroupVersionKind
	finalizer string
	informer  cache.SharedIndexInformer
}

// watch starts the informer of a kind. If the definition is missing, the informer
// asks again until it is there.
func (k *kind) watch(ctx context.Context, c *cluster, indexers cache.Indexers) error {
	k.informer = dynamicinformer.NewFilteredDynamicInformer(c.dynamic, k.gvr, metav1.NamespaceAll, 0, indexers, nil).Informer()
	if err := k.informer.SetTransform(strip); err != nil {
		return fmt.Errorf("%s: %w", k.gvr.Resource, err)
	}
	err := k.informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) {
		if ctx.Err() == nil {
			c.log.Debug("watch ended", "resource", k.gvr.Resource, "error", err)
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", k.gvr.Resource, err)
	}
	return nil
}

// get returns the object from the informer, nil if there is none. It is shared
// and must not be changed.
func (k *kind) get(namespace, name string) *unstructured.Unstructured {
	obj, exists, err := k.informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return nil
	}
	object, _ := obj.(*unstructured.Unstructured)
	return object
}

// claim puts the finalizer on an object, as operators do before they create
// anything that would have to be cleaned up.
func (k *kind) claim(ctx context.Context, c *cluster, object *unstructured.Unstructured) error {
	finalizers := object.GetFinalizers()
	if slices.Contains(finalizers, k.finalizer) {
		return nil
	}
	return k.setFinalizers(ctx, c, object, append(slices.Clone(finalizers), k.finalizer))
}

// release takes the finalizer off, and with the last one the object goes.
func (k *kind) release(ctx context.Context, c *cluster, object *unstructured.Unstructured) error {
	finalizers := object.GetFinalizers()
	if !slices.Contains(finalizers, k.finalizer) {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(finalizers), func(f string) bool { return f == k.finalizer })
	return k.setFinalizers(ctx, c, object, rest)
}

func (k *kind) setFinalizers(ctx context.Context, c *cluster, object *unstructured.Unstructured, finalizers []string) error {
	return k.patch(ctx, c, object, map[string]any{"metadata": map[string]any{
		"finalizers": finalizers,
		// Another finalizer may have come or gone meanwhile.
		"resourceVersion": object.GetResourceVersion(),
	}})
}

func (k *kind) patch(ctx context.Context, c *cluster, object *unstructured.Unstructured, patch map[string]any, subresources ...string) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("%s %s/%s: %w", k.gvk.Kind, object.GetNamespace(), object.GetName(), err)
	}
	_, err = c.dynamic.Resource(k.gvr).Namespace(object.GetNamespace()).
		Patch(ctx, object.GetName(), types.MergePatchType, body, metav1.PatchOptions{}, subresources...)
	if err != nil {
		return fmt.Errorf("%s %s/%s: patch: %w", k.gvk.Kind, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

// finish takes down what belongs to an object that is being deleted: its pods,
// then the finalizer. It says when to look again.
func (k *kind) finish(ctx context.Context, c *cluster, object *unstructured.Unstructured, pods int) (time.Duration, error) {
	if pods > 0 {
		return 0, nil // the last pod that goes brings us back
	}
	if wait := time.Until(heldUntil(object.GetAnnotations(), object.GetDeletionTimestamp().Time)); wait > 0 {
		return wait, nil
	}
	return 0, k.release(ctx, c, object)
}

// writeStatus patches what differs between the status that the informer has and
// the one wanted. Nothing is written if they are equal.
func (k *kind) writeStatus(ctx context.Context, c *cluster, object *unstructured.Unstructured, want map[string]any) error {
	have, _, _ := unstructured.NestedFieldNoCopy(object.Object, "status")
	old, _ := have.(map[string]any)
	diff := difference(old, want)
	if len(diff) == 0 {
		return nil
	}
	return k.patch(ctx, c, object, map[string]any{"status": diff}, "status")
}

// difference is the JSON merge patch that turns old into want.
func difference(old, want map[string]any) map[string]any {
	diff := map[string]any{}
	for key := range old {
		if _, ok := want[key]; !ok {
			diff[key] = nil
		}
	}
	for key, value := range want {
		before, ok := old[key]
		if ok && reflect.DeepEqual(before, value) {
			continue
		}
		valueMap, isMap := value.(map[string]any)
		beforeMap, wasMap := before.(map[string]any)
		if isMap && wasMap {
			diff[key] = difference(beforeMap, valueMap)
			continue
		}
		diff[key] = value
	}
	return diff
}
