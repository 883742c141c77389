package watch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// installed is a runtime and what is known of its installation.
type installed struct {
	runtimes.Runtime
	info       runtimes.Info
	workloads  collection
	crd        *source
	definition *definition

	mu      sync.Mutex
	known   bool
	served  []string
	version string // in use; empty where none can be read
}

// versions returns what discovery said last. Not known means that it has not answered yet.
func (i *installed) versions() (served []string, version string, known bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.served, i.version, i.known
}

// runtime returns a runtime by id, nil where there is none.
func (w *Watcher) runtime(id string) *installed {
	for _, rt := range w.runtimes {
		if rt.info.ID == id {
			return rt
		}
	}
	return nil
}

// addRuntime makes the sources of a runtime: its custom resource and the definition of that.
func (w *Watcher) addRuntime(rt runtimes.Runtime) {
	i := &installed{Runtime: rt, info: rt.Info()}
	resource := i.info.Resource
	reader := workloadReader{runtime: rt, log: w.log}
	for _, namespace := range w.options.scopes() {
		i.workloads = append(i.workloads, w.newSource(sourceSpec{
			resource:  schema.GroupVersionResource{Group: resource.Group, Resource: resource.Plural},
			namespace: namespace, runtime: i.info.ID,
			kinds: []api.Kind{api.KindDeployments, api.KindPods},
			client: func(gvr schema.GroupVersionResource) (cache.ListWithContextFunc, cache.WatchFuncWithContext) {
				client := w.clients.dynamic.Resource(gvr).Namespace(namespace)
				return lists(client.List), client.Watch
			},
			missing: func() { i.definition.changed() },
			informer: informerSpec{w.clients.dynamic, &unstructured.Unstructured{}, reader.read, workloadIndexers(), handler[*workload]{
				func(before, after *workload, c cause) { w.workloadChanged(i, before, after, c) },
			}},
		}))
	}
	i.crd = w.addDefinition(i)
	i.definition = &definition{
		resource: resource, discover: w.clients.discover, source: i.crd, notice: make(chan struct{}, 1),
		failed: func(err error) { w.definitionFailed(i, err) },
	}
	w.runtimes = append(w.runtimes, i)
}

// addDefinition makes the source that watches a runtime's CustomResourceDefinition, by name and without its schema.
func (w *Watcher) addDefinition(i *installed) *source {
	client := w.clients.metadata.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	})
	name := i.info.Resource.CRD()
	s := w.newSource(sourceSpec{
		resource: schema.GroupVersionResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
		runtime:  i.info.ID,
		kinds:    []api.Kind{api.KindRuntimes},
		selector: func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + name },
		list:     lists(client.List), watch: client.Watch,
		informer: informerSpec{w.clients.metadata, &metav1.PartialObjectMetadata{}, stripMetadata, nil, handler[*metav1.PartialObjectMetadata]{
			func(_, _ *metav1.PartialObjectMetadata, _ cause) { i.definition.changed() },
		}},
	})
	s.otherwise = func() bool {
		_, _, known := i.versions()
		return known
	}
	s.whenFilled = func(s *source) {
		s.filled()
		w.review(api.KindRuntimes)
	}
	return s
}

func stripMetadata(object any) (any, error) {
	m, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: identity(&m.ObjectMeta)}, nil
}

// startRuntime follows a runtime's definition, and with it starts and stops the informer of its custom resource.
func (w *Watcher) startRuntime(ctx context.Context, i *installed) error {
	i.definition.served = func(versions []string) { w.definitionServed(ctx, i, versions) }
	if err := i.crd.start(ctx, "v1", w.wg.Go); err != nil {
		return err
	}
	w.wg.Go(func() { i.definition.run(ctx, w.link.returned) })
	return nil
}

// definitionServed switches the runtime's sources to the version that is served now, if to any.
func (w *Watcher) definitionServed(ctx context.Context, i *installed, served []string) {
	version, ok := readable(i.info.Resource, served)
	i.mu.Lock()
	first, same := !i.known, i.known && i.version == version
	i.known, i.served, i.version = true, served, version
	i.mu.Unlock()
	for _, s := range i.workloads {
		if same && ok {
			continue
		}
		w.unsettle(s)
		s.stop()
		switch {
		case ok:
			if err := s.start(ctx, version, w.wg.Go); err != nil {
				s.failed(err.Error(), true)
			}
		case len(served) == 0:
			w.resolve(s, s.absent)
		default:
			s.failed(fmt.Sprintf("%s is served as %s, which cannot be read: only %s can", i.info.Resource.CRD(),
				strings.Join(served, ", "), strings.Join(i.info.Resource.Versions, ", ")), true)
		}
	}
	if first {
		w.resolve(i.crd, nil)
	}
	w.queue.add(api.RuntimeKey(i.info.ID), cause{received: time.Now(), initial: first})
}

// definitionFailed says so where nothing was known before; otherwise the informers tell by themselves.
func (w *Watcher) definitionFailed(i *installed, err error) {
	resource := i.info.Resource
	t := target{
		GroupVersionResource: schema.GroupVersionResource{Group: resource.Group, Resource: resource.Plural},
		host:                 w.clients.host,
	}
	if !reached(err) {
		w.link.doubted()
	}
	if _, _, known := i.versions(); !known {
		for _, s := range i.workloads {
			s.failed(t.explain(err), final(err))
		}
	}
}
