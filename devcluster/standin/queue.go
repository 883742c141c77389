package standin

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// settle is how long a reconcile waits for further pod events. The pods of one
// deployment change together; without it each of them would cost a status write.
const settle = 150 * time.Millisecond

// loop reconciles keys, "namespace/name", one at a time per key.
type loop struct {
	queue workqueue.TypedRateLimitingInterface[string]
	// reconcile returns when to look again without an event; zero means never.
	reconcile func(ctx context.Context, namespace, name string) (time.Duration, error)
}

func newLoop(name string) *loop {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 30*time.Second)
	return &loop{queue: workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[string]{Name: name})}
}

// run works until ctx ends.
func (l *loop) run(ctx context.Context, c *cluster, workers int) {
	done := make(chan struct{})
	for range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for l.next(ctx, c) {
			}
		}()
	}
	<-ctx.Done()
	l.queue.ShutDown()
	for range workers {
		<-done
	}
}

func (l *loop) next(ctx context.Context, c *cluster) bool {
	key, quit := l.queue.Get()
	if quit {
		return false
	}
	defer l.queue.Done(key)
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return true
	}
	again, err := l.reconcile(ctx, namespace, name)
	switch {
	case err != nil && ctx.Err() == nil:
		// Conflicts and races with the cache are the normal course; the rest is
		// worth a line, and both come again.
		if !expected(err) {
			c.log.Warn("reconcile", "key", key, "error", err)
		}
		l.queue.AddRateLimited(key)
		return true
	case again > 0:
		l.queue.AddAfter(key, again)
	}
	l.queue.Forget(key)
	return true
}

// expected says whether an error comes from a view of the cluster that is a
// moment old, and goes away by itself.
func expected(err error) bool {
	for _, is := range []func(error) bool{apierrors.IsConflict, apierrors.IsNotFound, apierrors.IsAlreadyExists, isTerminating} {
		if is(err) {
			return true
		}
	}
	return errors.Is(err, context.Canceled)
}

// isTerminating is a create in a namespace that is going away.
func isTerminating(err error) bool {
	return apierrors.HasStatusCause(err, "NamespaceTerminating")
}

// follow queues the key of every object of an informer that changes.
func (l *loop) follow(informer cache.SharedIndexInformer) error {
	add := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			l.queue.Add(key)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, obj any) { add(obj) },
		DeleteFunc: add,
	})
	return err
}

// followPods queues the owner of every pod that changes, after things settle.
func (l *loop) followPods(informer cache.SharedIndexInformer, label string) error {
	add := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		pod, ok := obj.(metaObject)
		if !ok {
			return
		}
		if name := pod.GetLabels()[label]; name != "" {
			l.queue.AddAfter(pod.GetNamespace()+"/"+name, settle)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, obj any) { add(obj) },
		DeleteFunc: add,
	})
	return err
}

type metaObject interface {
	GetNamespace() string
	GetLabels() map[string]string
}
