package watch

import (
	"context"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// outcome is a document recomputed.
type outcome struct {
	// doc is nil where there is no such document.
	doc any
	// pod is the pod that a document of KindPods is of: it tells more of a crash than the document.
	pod *pod
	// hold says that it cannot be told yet: a source that matters has not been listed.
	hold bool
}

func held() outcome { return outcome{hold: true} }

// work recomputes documents until the queue is shut.
func (w *Watcher) work(ctx context.Context) {
	for {
		key, c, ok := w.queue.next()
		if !ok {
			return
		}
		if ctx.Err() == nil {
			w.recompute(key, c)
		}
		w.queue.done(key)
	}
}

// recompute makes a document anew from the stores, publishes it if it differs, and says what happened.
func (w *Watcher) recompute(key api.Key, c cause) {
	defer func() {
		if cause := recover(); cause != nil { // one odd object must not stop the others
			w.log.Error("projection panics", zap.String("key", key.String()), zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
		}
	}()
	out := w.project(key)
	switch {
	case out.hold:
	case out.doc == nil:
		if before := w.shelf.remove(key, c); before != nil {
			w.happened(key, before, nil, out, c)
		}
	default:
		if before, after, changed := w.shelf.put(key, out.doc, c, w.log); changed {
			w.happened(key, before, after, out, c)
		}
	}
}

func (w *Watcher) project(key api.Key) outcome {
	switch key.Kind {
	case api.KindDeployments:
		return w.deployment(key)
	case api.KindPods:
		return w.pod(key)
	case api.KindNodes:
		return w.node(key)
	case api.KindCapacity:
		return w.capacity()
	case api.KindPools:
		return w.pools()
	case api.KindRuntimes:
		return w.runtimeDocument(key)
	case api.KindAutoscaler:
		return w.autoscaler()
	case api.KindOperations:
		return w.operation(key)
	case api.KindSources:
		return outcome{doc: w.state(api.Kind(key.ID))}
	case api.KindCluster:
		return outcome{doc: w.link.document()}
	}
	return held()
}

// happened emits what a change means, once the kind has been published in full: what was there before this process is no
// news.
func (w *Watcher) happened(key api.Key, before, after []byte, out outcome, c cause) {
	if key.Kind == api.KindSources || key.Kind == api.KindCluster || !w.progressOf(key.Kind).opened {
		return
	}
	if before == nil && c.initial {
		return
	}
	change, message := meaning(key, before, after, out.pod)
	w.options.Publisher.Emit(api.Event{
		Key: key, Change: change, Time: w.shelf.now().UTC(), Message: message, Document: after, Previous: before,
	})
}
