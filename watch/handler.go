package watch

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// handler turns an informer's notifications into pairs of before and after, either of which may be the zero value. It
// only ever queues keys: an informer waits for its handlers.
type handler[T metav1.Object] struct {
	changed func(before, after T, c cause)
}

func (h handler[T]) OnAdd(object any, initial bool) {
	if after, ok := object.(T); ok {
		var none T
		h.changed(none, after, cause{received: time.Now(), initial: initial})
	}
}

// OnUpdate passes over what only a new list brought up: same resource version, same object.
func (h handler[T]) OnUpdate(old, object any) {
	before, okBefore := old.(T)
	after, ok := object.(T)
	if ok && okBefore && before.GetResourceVersion() != after.GetResourceVersion() {
		h.changed(before, after, cause{received: time.Now()})
	}
}

// OnDelete also comes for objects whose deletion nobody saw, in an envelope with what they last were.
func (h handler[T]) OnDelete(object any) {
	if unseen, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unseen.Obj
	}
	if before, ok := object.(T); ok {
		var none T
		h.changed(before, none, cause{received: time.Now()})
	}
}
