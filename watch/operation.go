package watch

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

// addOperations makes the source of the operations, which are ConfigMaps in the server's own namespace.
func (w *Watcher) addOperations() {
	namespace := w.options.Namespace
	if namespace == "" {
		return
	}
	client := w.clients.kube.CoreV1().ConfigMaps(namespace)
	w.operations = collection{w.newSource(sourceSpec{
		resource: corev1.SchemeGroupVersion.WithResource("configmaps"), namespace: namespace,
		kinds:    []api.Kind{api.KindOperations},
		selector: func(o *metav1.ListOptions) { o.LabelSelector = operations.Label },
		list:     lists(client.List), watch: client.Watch,
		informer: informerSpec{w.clients.kube, &corev1.ConfigMap{}, stripOperation, nil, handler[*corev1.ConfigMap]{w.operationChanged}},
	})}
}

// stripOperation drops everything but the operation: a sign of life is no news.
func stripOperation(object any) (any, error) {
	m, ok := object.(*corev1.ConfigMap)
	if !ok {
		return object, nil
	}
	op, ok := operations.Decode(m)
	if !ok { // somebody wrote into it
		return &corev1.ConfigMap{ObjectMeta: identity(&m.ObjectMeta)}, nil
	}
	out := operations.Encode(m.Namespace, op)
	out.ObjectMeta = identity(&m.ObjectMeta)
	return out, nil
}

func (w *Watcher) operationChanged(before, after *corev1.ConfigMap, c cause) {
	for _, object := range []*corev1.ConfigMap{before, after} {
		if object == nil {
			continue
		}
		if op, ok := operations.Decode(object); ok {
			w.queue.add(api.OperationKey(op.Namespace, op.Id), c)
		}
	}
}

// operation is an operation, as whoever runs it wrote it down.
func (w *Watcher) operation(key api.Key) outcome {
	if !w.operations.allResolved() {
		return held()
	}
	object, ok := get[*corev1.ConfigMap](w.operations, w.options.Namespace, operations.ObjectName(key.ID))
	if !ok {
		return outcome{}
	}
	op, ok := operations.Decode(object)
	if !ok || api.OperationKey(op.Namespace, op.Id) != key {
		return outcome{}
	}
	return outcome{doc: op}
}
