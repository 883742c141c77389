package watch

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/autoscaler"
)

// patience is how long documents wait for an optional source. A list of all Warnings of a large cluster can take a minute.
const patience = 10 * time.Second

// sourceSpec says how a source is to be made.
type sourceSpec struct {
	resource  schema.GroupVersionResource
	namespace string
	runtime   string
	kinds     []api.Kind
	optional  bool
	// selector narrows lists and watches. It may be nil.
	selector func(*metav1.ListOptions)
	list     cache.ListWithContextFunc
	watch    cache.WatchFuncWithContext
	// client makes both for the version in use, where there are several.
	client func(schema.GroupVersionResource) (cache.ListWithContextFunc, cache.WatchFuncWithContext)
	// missing is called when the resource turns out not to be served. It may be nil.
	missing  func()
	informer informerSpec
}

// newSource makes a source of the resource's one version, to be started.
func (w *Watcher) newSource(spec sourceSpec) *source {
	s := &source{namespace: spec.namespace, kinds: spec.kinds, optional: spec.optional}
	s.status = newStatus(api.Source{
		Resource: spec.resource.GroupResource().String(), Namespace: spec.namespace, Runtime: spec.runtime,
	}, w.log, func() { w.sourceChanged(s) })
	s.whenFilled = func(s *source) { w.resolve(s, s.status.filled) }
	s.build = func(version string) (*caller, informerSpec) {
		spec := spec
		spec.resource.Version = version
		if spec.client != nil {
			spec.list, spec.watch = spec.client(spec.resource)
		}
		return w.newCaller(s, spec), spec.informer
	}
	for _, kind := range spec.kinds {
		w.sources[kind] = append(w.sources[kind], s)
	}
	w.metrics.sourceIs(s.document())
	return s
}

func (w *Watcher) newCaller(s *source, spec sourceSpec) *caller {
	narrow := spec.selector
	if narrow == nil {
		narrow = func(*metav1.ListOptions) {}
	}
	return &caller{
		target: target{GroupVersionResource: spec.resource, namespace: spec.namespace, host: w.clients.host},
		list: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			narrow(&options)
			return spec.list(ctx, options)
		},
		watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			narrow(&options)
			return spec.watch(ctx, options)
		},
		status: s.status, link: w.link, metrics: w.metrics, missing: spec.missing,
	}
}

// sourceChanged passes a source's state on to readers. A source that may not be listed is as resolved as it gets.
func (w *Watcher) sourceChanged(s *source) {
	w.metrics.sourceIs(s.document())
	for _, kind := range s.kinds {
		w.queue.add(api.SourcesKey(kind), cause{received: time.Now()})
	}
	if s.otherwise == nil && s.blocked() && !s.resolved.Load() {
		w.resolve(s, nil)
		return
	}
	for _, kind := range s.kinds {
		w.review(kind)
	}
}

// addCoreSources makes the sources of what every cluster has.
func (w *Watcher) addCoreSources() {
	kube := w.clients.kube
	core, apps := kube.CoreV1(), kube.AppsV1()
	pods := podReader{runtimes: w.options.Runtimes, log: w.log}
	warnings := warningReader{kinds: map[string]bool{"Pod": true, claimKind: true}}
	for _, kind := range betweenKinds {
		warnings.kinds[kind] = true
	}
	for _, rt := range w.options.Runtimes {
		warnings.kinds[rt.Info().Resource.Kind] = true
	}
	for _, namespace := range w.options.scopes() {
		w.pods = append(w.pods, w.newSource(sourceSpec{
			resource: corev1.SchemeGroupVersion.WithResource("pods"), namespace: namespace,
			kinds: []api.Kind{api.KindDeployments, api.KindPods, api.KindNodes, api.KindPools, api.KindCapacity},
			list:  lists(core.Pods(namespace).List), watch: core.Pods(namespace).Watch,
			informer: informerSpec{kube, &corev1.Pod{}, pods.read, podIndexers(), handler[*pod]{w.podChanged}},
		}))
		w.warnings = append(w.warnings, w.newSource(sourceSpec{
			resource: corev1.SchemeGroupVersion.WithResource("events"), namespace: namespace, optional: true,
			kinds:    []api.Kind{api.KindDeployments},
			selector: func(o *metav1.ListOptions) { o.FieldSelector = "type!=" + corev1.EventTypeNormal },
			list:     lists(core.Events(namespace).List), watch: core.Events(namespace).Watch,
			informer: informerSpec{kube, &corev1.Event{}, warnings.strip, warningIndexers(), handler[*corev1.Event]{w.warningChanged}},
		}))
		for _, selector := range operatorSelectors(w.options) {
			w.operators = append(w.operators, w.newSource(sourceSpec{
				resource: appsv1.SchemeGroupVersion.WithResource("deployments"), namespace: namespace,
				kinds:    []api.Kind{api.KindRuntimes},
				selector: func(o *metav1.ListOptions) { o.LabelSelector = selector },
				list:     lists(apps.Deployments(namespace).List), watch: apps.Deployments(namespace).Watch,
				informer: informerSpec{kube, &appsv1.Deployment{}, stripDeployment, nil, handler[*appsv1.Deployment]{w.operatorChanged}},
			}))
		}
	}
	w.nodes = collection{w.newSource(sourceSpec{
		resource: corev1.SchemeGroupVersion.WithResource("nodes"),
		kinds:    []api.Kind{api.KindNodes, api.KindPools, api.KindCapacity, api.KindAutoscaler},
		list:     lists(core.Nodes().List), watch: core.Nodes().Watch,
		informer: informerSpec{kube, &corev1.Node{}, stripNode, nil, handler[*corev1.Node]{w.nodeChanged}},
	})}
	const system = autoscaler.StatusNamespace
	w.autoscalerStatus = collection{w.newSource(sourceSpec{
		resource: corev1.SchemeGroupVersion.WithResource("configmaps"), namespace: system,
		kinds:    []api.Kind{api.KindAutoscaler},
		selector: func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + autoscaler.StatusName },
		list:     lists(core.ConfigMaps(system).List), watch: core.ConfigMaps(system).Watch,
		informer: informerSpec{kube, &corev1.ConfigMap{}, stripConfigMap, nil, handler[*corev1.ConfigMap]{
			func(_, _ *corev1.ConfigMap, c cause) { w.queue.add(api.AutoscalerKey(), c) },
		}},
	})}
	w.autoscalerDeployments = collection{w.newSource(sourceSpec{
		resource: appsv1.SchemeGroupVersion.WithResource("deployments"), namespace: system,
		kinds: []api.Kind{api.KindAutoscaler},
		list:  lists(apps.Deployments(system).List), watch: apps.Deployments(system).Watch,
		informer: informerSpec{kube, &appsv1.Deployment{}, stripDeployment, nil, handler[*appsv1.Deployment]{
			func(_, _ *appsv1.Deployment, c cause) { w.queue.add(api.AutoscalerKey(), c) },
		}},
	})}
}

// startCore starts the informers of what every cluster has.
func (w *Watcher) startCore(ctx context.Context) error {
	for _, c := range []collection{w.pods, w.nodes, w.warnings, w.operators, w.autoscalerStatus, w.autoscalerDeployments, w.operations} {
		for _, s := range c {
			if err := s.start(ctx, "v1", w.wg.Go); err != nil {
				return err
			}
		}
	}
	w.wg.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(patience):
		}
		for _, s := range w.warnings {
			if !s.resolved.Load() {
				w.resolve(s, nil)
			}
		}
	})
	return nil
}

// lists makes a list function of a typed client's.
func lists[L runtime.Object](list func(context.Context, metav1.ListOptions) (L, error)) cache.ListWithContextFunc {
	return func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		out, err := list(ctx, options)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// operatorSelectors are the label selectors that find the operators, one for each label: mostly there is one label.
func operatorSelectors(o Options) []string {
	values := map[string][]string{}
	for _, rt := range o.Runtimes {
		op := rt.Info().Operator
		values[op.Label] = append(values[op.Label], op.Values...)
	}
	var out []string
	for label, in := range values {
		if label != "" && len(in) > 0 {
			slices.Sort(in)
			out = append(out, label+" in ("+strings.Join(slices.Compact(in), ",")+")")
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}
