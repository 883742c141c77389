package standin

import (
	"context"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Requests per second that a stand-in may spend. The API server of a development
// cluster takes about 500 writes per second in all.
const (
	queriesPerSecond = 400
	queryBurst       = 800
)

// Informers returns the shared informers that [Run] needs, over protobuf and
// without the parts of objects that nobody here reads. A process that watches
// pods for other reasons too passes its result to both, and pays once.
func Informers(cfg *rest.Config) (informers.SharedInformerFactory, error) {
	client, err := kubernetes.NewForConfig(protobuf(cfg))
	if err != nil {
		return nil, fmt.Errorf("typed client: %w", err)
	}
	return informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(strip)), nil
}

func protobuf(cfg *rest.Config) *rest.Config {
	cfg = quiet(cfg)
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return cfg
}

// quiet has the rate of a stand-in, and no log of warnings: one finalizer of KAITO
// is warned about at every write.
func quiet(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = queriesPerSecond, queryBurst
	cfg.WarningHandler = rest.NoWarnings{}
	return cfg
}

// strip drops the record of field ownership, about a third of a small object.
func strip(obj any) (any, error) {
	if object, err := meta.Accessor(obj); err == nil {
		object.SetManagedFields(nil)
	}
	return obj, nil
}

// byOwner is the index of pods by the custom resource they belong to.
const byOwner = "owner"

// cluster is what every stand-in sees of the cluster, and its hands.
type cluster struct {
	core     kubernetes.Interface
	dynamic  dynamic.Interface
	pods     cache.SharedIndexInformer
	nodes    corelisters.NodeLister
	services corelisters.ServiceLister
	log      *slog.Logger
}

func newCluster(cfg *rest.Config, factory informers.SharedInformerFactory, log *slog.Logger) (*cluster, error) {
	core, err := kubernetes.NewForConfig(protobuf(cfg))
	if err != nil {
		return nil, fmt.Errorf("typed client: %w", err)
	}
	untyped, err := dynamic.NewForConfig(quiet(cfg))
	if err != nil {
		return nil, fmt.Errorf("dynamic client: %w", err)
	}
	c := &cluster{
		core:     core,
		dynamic:  untyped,
		pods:     factory.Core().V1().Pods().Informer(),
		nodes:    factory.Core().V1().Nodes().Lister(),
		services: factory.Core().V1().Services().Lister(),
		log:      log,
	}
	if err := c.pods.AddIndexers(cache.Indexers{byOwner: ownerOf}); err != nil {
		return nil, fmt.Errorf("pod index: %w", err)
	}
	return c, nil
}

// ownerOf says which custom resources a pod belongs to, by the labels that the
// real operators select by too.
func ownerOf(obj any) ([]string, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	var owners []string
	for _, label := range []string{labelWorkspace, labelRayCluster, labelGraph} {
		if name := pod.Labels[label]; name != "" {
			owners = append(owners, ownerKey(label, pod.Namespace, name))
		}
	}
	return owners, nil
}

func ownerKey(label, namespace, name string) string {
	return label + "/" + namespace + "/" + name
}

// podsOf lists the pods of one custom resource, terminating ones too.
func (c *cluster) podsOf(label, namespace, name string) []*corev1.Pod {
	found, err := c.pods.GetIndexer().ByIndex(byOwner, ownerKey(label, namespace, name))
	if err != nil {
		return nil
	}
	pods := make([]*corev1.Pod, 0, len(found))
	for _, obj := range found {
		if pod, ok := obj.(*corev1.Pod); ok {
			pods = append(pods, pod)
		}
	}
	return pods
}

// ensureService creates a Service that is not there. An existing one is left as
// it is, except that its selector follows: that is how Ray moves traffic.
func (c *cluster) ensureService(ctx context.Context, want *corev1.Service) error {
	have, err := c.services.Services(want.Namespace).Get(want.Name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = c.core.CoreV1().Services(want.Namespace).Create(ctx, want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
	case err == nil && have.DeletionTimestamp == nil && !sameMap(have.Spec.Selector, want.Spec.Selector):
		have = have.DeepCopy()
		have.Spec.Selector = want.Spec.Selector
		_, err = c.core.CoreV1().Services(want.Namespace).Update(ctx, have, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("service %s/%s: %w", want.Namespace, want.Name, err)
	}
	return nil
}

func sameMap(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if b[key] != value {
			return false
		}
	}
	return true
}

// controlledBy is the owner reference that makes the garbage collector take the
// children of a resource away with it.
func controlledBy(owner metav1.Object, kind schema.GroupVersionKind) metav1.OwnerReference {
	return *metav1.NewControllerRef(owner, kind)
}

// decode reads one part of an untyped resource into a typed value. Fields that
// the type does not have are ignored, as an operator of an older version would.
func decode(from any, into any) error {
	object, ok := from.(map[string]any)
	if !ok {
		return nil
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(object, into)
}
