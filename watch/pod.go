package watch

import (
	"runtime/debug"
	"slices"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/kubefoundry/kubefoundry/internal/capacity"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

const (
	byClaim  = "claim"  // pods and custom resources: namespace/runtime/claim
	byObject = "object" // warnings: uid of what they are about
)

// pod is what is kept of a pod. Most pods of a cluster are none of our business and shrink to their name.
type pod struct {
	metav1.ObjectMeta // name, namespace, uid and resource version
	// claims as in the index byClaim; nil for a pod of no runtime.
	claims []string
	entry  entry
	// kept is what projections read; nil for a pod of no runtime.
	kept *corev1.Pod
}

// podReader strips pods at the informer's door.
type podReader struct {
	runtimes []runtimes.Runtime
	log      *zap.Logger
}

func (r podReader) read(object any) (any, error) {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil // read before, or a tombstone
	}
	out := &pod{ObjectMeta: identity(&p.ObjectMeta)}
	if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
		if gpus := capacity.PodGPUs(p); gpus > 0 {
			out.entry = entry{node: p.Spec.NodeName, gpus: gpus}
		}
	}
	for _, rt := range r.runtimes {
		for _, claim := range r.claims(rt, p) {
			out.claims = append(out.claims, claimKey(p.Namespace, rt.Info().ID, claim))
		}
	}
	if out.claims != nil {
		out.kept = stripPod(p)
	}
	return out, nil
}

// claims survives a runtime that panics: it is called by an informer, whose panics end the process.
func (r podReader) claims(rt runtimes.Runtime, p *corev1.Pod) (claims []string) {
	defer func() {
		if cause := recover(); cause != nil {
			r.log.Error("claims of a pod panic", zap.String("runtime", rt.Info().ID), zap.String("namespace", p.Namespace),
				zap.String("name", p.Name), zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
		}
	}()
	return rt.PodClaims(p)
}

func podClaims(object any) ([]string, error) {
	if p, ok := object.(*pod); ok {
		return p.claims, nil
	}
	return nil, nil
}

func podIndexers() cache.Indexers { return cache.Indexers{byClaim: podClaims, byTie: podTies} }

func claimKey(namespace, runtime, claim string) string {
	return namespace + "/" + runtime + "/" + claim
}

// identity is what the informer itself needs of an object.
func identity(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion}
}

// stripPod keeps what a person is shown of a pod and what tells whose it is: no environment, probes or commands, and of volumes
// only the claims.
func stripPod(p *corev1.Pod) *corev1.Pod {
	meta := identity(&p.ObjectMeta)
	meta.Labels, meta.OwnerReferences = p.Labels, p.OwnerReferences
	meta.CreationTimestamp, meta.DeletionTimestamp = p.CreationTimestamp, p.DeletionTimestamp
	return &corev1.Pod{
		ObjectMeta: meta,
		Spec: corev1.PodSpec{
			NodeName:       p.Spec.NodeName,
			Containers:     stripContainers(p.Spec.Containers),
			InitContainers: stripContainers(p.Spec.InitContainers),
			RestartPolicy:  p.Spec.RestartPolicy,
			Volumes:        stripVolumes(p),
		},
		Status: corev1.PodStatus{
			Phase: p.Status.Phase, Reason: p.Status.Reason, Message: p.Status.Message, StartTime: p.Status.StartTime,
			Conditions:            p.Status.Conditions,
			ContainerStatuses:     stripStatuses(p.Status.ContainerStatuses),
			InitContainerStatuses: stripStatuses(p.Status.InitContainerStatuses),
		},
	}
}

func stripContainers(containers []corev1.Container) []corev1.Container {
	out := make([]corev1.Container, len(containers))
	for i := range containers {
		out[i] = corev1.Container{
			Name: containers[i].Name, Image: containers[i].Image,
			Resources: containers[i].Resources, RestartPolicy: containers[i].RestartPolicy,
		}
	}
	return out
}

func stripStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	out := slices.Clone(statuses)
	for i := range out {
		s := &out[i]
		s.ImageID, s.ContainerID = "", ""
		s.Resources, s.AllocatedResources, s.AllocatedResourcesStatus, s.VolumeMounts, s.User = nil, nil, nil, nil, nil
	}
	return out
}
