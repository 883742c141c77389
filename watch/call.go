package watch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	firstPause = 500 * time.Millisecond
	// longestPause, with its jitter, bounds how long a source stays failed after rights were granted.
	longestPause = 20 * time.Second
)

// caller makes the list and watch calls of one informer and tells a status how they went.
//
// It also waits out failures itself. Left to the reflector, a failed call ends in up to 60 s of silence, part of which
// does not even end with the context (reflector.watchList sleeps without it), and a broken connection costs a new list.
type caller struct {
	target  target
	list    cache.ListWithContextFunc
	watch   cache.WatchFuncWithContext
	status  *status
	link    *connection
	metrics *metrics
	// missing is called when the resource is not served. It may be nil.
	missing func()
}

func (c *caller) listWatch(client any) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{ListWithContextFunc: c.List, WatchFuncWithContext: c.Watch}, client)
}

// List repeats the call until there is an answer that the reflector can use.
func (c *caller) List(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	for attempt := 0; ; attempt++ {
		list, err := c.list(ctx, options)
		if err == nil {
			c.status.answered()
			return list, nil
		}
		if ctx.Err() != nil || outdated(err) {
			return nil, err
		}
		c.observe("list", err)
		if !c.pause(ctx, attempt) {
			return nil, err
		}
	}
}

// Watch repeats the call while the API server gives no answer. Refusals go to the reflector, which lists anew: where a
// watch may not be had but a list may, that keeps the objects fresh to within a minute.
func (c *caller) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	streaming := options.SendInitialEvents != nil && *options.SendInitialEvents
	for attempt := 0; ; attempt++ {
		w, err := c.watch(ctx, options)
		if err == nil {
			if !streaming { // a streamed list has succeeded at its last bookmark, not before
				c.status.answered()
			}
			return observe(ctx, w, c), nil
		}
		if ctx.Err() != nil || outdated(err) || streaming && final(err) {
			return nil, err // the list that follows a refused stream will tell
		}
		c.observe("watch", err)
		if final(err) || !c.pause(ctx, attempt) {
			return nil, err
		}
	}
}

func (c *caller) observe(verb string, err error) {
	c.metrics.callFailed(c.target.name(), verb)
	c.status.failed(c.target.explain(err), final(err))
	if !reached(err) {
		c.link.doubted()
	}
	if apierrors.IsNotFound(err) && c.missing != nil {
		c.missing()
	}
}

// pause waits before the next attempt: longer each time, but not beyond the moment when the API server is back.
func (c *caller) pause(ctx context.Context, attempt int) bool {
	wait := min(firstPause<<min(attempt, 10), longestPause)
	wait += rand.N(wait / 2) //nolint:gosec // jitter
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-c.link.returned():
	}
	return true
}

// observed is a watch whose errors and whose end of the initial list are noted on the way through.
type observed struct {
	ctx    context.Context //nolint:containedctx // of the call, whose end breaks the stream
	inner  watch.Interface
	caller *caller
	events chan watch.Event
	stop   sync.Once
	done   chan struct{}
}

func observe(ctx context.Context, inner watch.Interface, c *caller) *observed {
	o := &observed{ctx: ctx, inner: inner, caller: c, events: make(chan watch.Event), done: make(chan struct{})}
	go o.relay()
	return o
}

func (o *observed) ResultChan() <-chan watch.Event { return o.events }

func (o *observed) Stop() {
	o.stop.Do(func() { close(o.done) })
	o.inner.Stop()
}

func (o *observed) relay() {
	defer close(o.events)
	for event := range o.inner.ResultChan() {
		o.note(event)
		select {
		case o.events <- event:
		case <-o.done:
			return
		}
	}
}

func (o *observed) note(event watch.Event) {
	if o.ctx.Err() != nil {
		return
	}
	switch event.Type {
	case watch.Error:
		if err := apierrors.FromObject(event.Object); !outdated(err) {
			o.caller.observe("watch", err)
		}
	case watch.Bookmark:
		object, ok := event.Object.(metav1.Object)
		if ok && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			o.caller.status.answered()
		}
	default:
	}
}
