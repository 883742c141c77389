package modelserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Indexes of the pod informer.
const (
	byAddress = "address"
	byGroup   = "group"
)

// Labels that bind the pods of one deployment together.
const (
	labelGraph      = "nvidia.com/dynamo-graph-deployment-name"
	labelType       = "nvidia.com/dynamo-component-type"
	labelRayCluster = "ray.io/cluster"
	labelRayType    = "ray.io/node-type"
	labelWorkspace  = "kaito.sh/workspace"
)

// Fleet is all pods as servers.
type Fleet struct {
	pods     cache.SharedIndexInformer
	listener *pipes
	server   *http.Server
}

// New takes the pods from shared informers, which the caller starts. Pods may
// have lost what nobody reads, but need their spec, status, labels and annotations.
func New(factory informers.SharedInformerFactory) (*Fleet, error) {
	f := &Fleet{pods: factory.Core().V1().Pods().Informer(), listener: newPipes()}
	if err := f.pods.AddIndexers(cache.Indexers{byAddress: addressOf, byGroup: groupOf}); err != nil {
		return nil, fmt.Errorf("pod indexes: %w", err)
	}
	f.server = &http.Server{
		Handler:           http.HandlerFunc(f.serve),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, targetKey{}, conn.LocalAddr())
		},
	}
	return f, nil
}

// Run serves until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { f.server.Close() })
	defer stop()
	if err := f.server.Serve(f.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("model servers: %w", err)
	}
	return nil
}

// DialPod connects to a pod at address, "10.a.b.c:port". It says false if no pod
// of this cluster listens there at this moment: as for a real connection, that
// may be because it has not started yet.
func (f *Fleet) DialPod(ctx context.Context, address string) (net.Conn, bool) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, false
	}
	pod := f.at(target.Addr().String())
	if pod == nil || f.handler(pod, target.Port(), time.Now()) == nil {
		return nil, false
	}
	return f.listener.dial(ctx, target)
}

// at is the pod with an address. A pod that has ended has none any more.
func (f *Fleet) at(address string) *corev1.Pod {
	found, err := f.pods.GetIndexer().ByIndex(byAddress, address)
	if err != nil || len(found) == 0 {
		return nil
	}
	pod, _ := found[0].(*corev1.Pod)
	return pod
}

func (f *Fleet) named(namespace, name string) *corev1.Pod {
	obj, exists, err := f.pods.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return nil
	}
	pod, _ := obj.(*corev1.Pod)
	return pod
}

// group are the pods of the deployment that a pod belongs to.
func (f *Fleet) group(pod *corev1.Pod) []*corev1.Pod {
	keys, _ := groupOf(pod)
	if len(keys) == 0 {
		return nil
	}
	found, err := f.pods.GetIndexer().ByIndex(byGroup, keys[0])
	if err != nil {
		return nil
	}
	pods := make([]*corev1.Pod, 0, len(found))
	for _, obj := range found {
		if member, ok := obj.(*corev1.Pod); ok {
			pods = append(pods, member)
		}
	}
	return pods
}

func addressOf(obj any) ([]string, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Status.PodIP == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil, nil
	}
	return []string{pod.Status.PodIP}, nil
}

func groupOf(obj any) ([]string, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	for _, label := range []string{labelGraph, labelRayCluster, labelWorkspace} {
		if name := pod.Labels[label]; name != "" {
			return []string{label + "/" + pod.Namespace + "/" + name}, nil
		}
	}
	return nil, nil
}

type targetKey struct{}

// serve finds out which pod a connection was for, and lets it answer. A pod that
// has stopped listening since then drops the connection.
func (f *Fleet) serve(w http.ResponseWriter, r *http.Request) {
	target, ok := r.Context().Value(targetKey{}).(podAddress)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	pod := f.at(target.Addr().String())
	if pod == nil {
		panic(http.ErrAbortHandler)
	}
	handler := f.handler(pod, target.Port(), time.Now())
	if handler == nil {
		panic(http.ErrAbortHandler)
	}
	handler.ServeHTTP(w, r)
}
