package watch

import (
	"context"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/kubefoundry/kubefoundry/api"
)

// source is a Kubernetes resource, in one namespace or in all, and the informer that keeps it in memory. It outlives its
// informer: where a resource comes, goes, or is served in another version, the source is started and stopped.
type source struct {
	*status
	// namespace is empty where all are covered.
	namespace string
	// build makes the calls and the informer for a version of the resource.
	build func(version string) (*caller, informerSpec)
	// whenFilled is called when all objects are in the store and were handed to the handler.
	whenFilled func(*source)
	// kinds of documents that are made of it.
	kinds []api.Kind
	// optional sources are waited for only so long: documents without them are poorer, not wrong.
	optional bool
	// otherwise tells whether what the source is for is known in another way where it may not be watched; nil if not.
	otherwise func() bool

	// resolved says that what is in the store is all there is, or all that can be had: documents may be made of it.
	resolved atomic.Bool
	// ready follows resolved when every document that the source can change was queued.
	ready atomic.Bool

	mu     sync.RWMutex
	store  cache.Indexer      // nil while there is no informer
	cancel context.CancelFunc // ends the informer
	done   chan struct{}      // closed when it has ended
}

// informerSpec is what an informer is made of.
type informerSpec struct {
	client    any // tells whether it can stream lists
	example   runtime.Object
	transform cache.TransformFunc
	indexers  cache.Indexers
	handler   cache.ResourceEventHandler
}

// start runs an informer on a version of the resource until ctx ends or stop is called.
func (s *source) start(ctx context.Context, version string, run func(func())) error {
	call, spec := s.build(version)
	informer := cache.NewSharedIndexInformerWithOptions(call.listWatch(spec.client), spec.example, cache.SharedIndexInformerOptions{
		Indexers: spec.indexers, ObjectDescription: call.target.name(),
	})
	if err := informer.SetTransform(spec.transform); err != nil {
		return err
	}
	// Failures are known from the calls; the default handler would log each of them.
	if err := informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(spec.handler)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	s.resolved.Store(false)
	s.ready.Store(false)
	s.started(version)
	s.mu.Lock()
	s.store, s.cancel, s.done = informer.GetIndexer(), cancel, done
	s.mu.Unlock()
	run(func() {
		defer close(done)
		var wg sync.WaitGroup
		wg.Go(func() {
			select {
			case <-registration.HasSyncedChecker().Done():
				s.whenFilled(s)
			case <-ctx.Done():
			}
		})
		informer.RunWithContext(ctx)
		cancel()
		wg.Wait()
	})
	return nil
}

// stop ends the informer and waits for it. The store is gone afterwards.
func (s *source) stop() {
	s.mu.Lock()
	cancel, done := s.cancel, s.done
	s.store, s.cancel, s.done = nil, nil, nil
	s.mu.Unlock()
	if cancel != nil {
		s.resolved.Store(false)
		s.ready.Store(false)
		cancel()
		<-done
	}
}

// well tells whether the source has all that there is.
func (s *source) well() bool {
	switch s.document().State {
	case api.SourceStateSynced, api.SourceStateAbsent:
		return true
	default:
		return s.blocked() && s.otherwise != nil && s.otherwise()
	}
}

// indexer returns the store, nil while there is none.
func (s *source) indexer() cache.Indexer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.store
}

// quiet keeps client-go from logging what the sources already say.
func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, klog.Logger{}) }
