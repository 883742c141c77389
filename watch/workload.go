package watch

import (
	"fmt"
	"runtime/debug"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// workload is what is kept of a runtime's custom resource: its projection. A RayService of two pod templates takes 50 kB
// as a tree of maps and 2 kB as a projection, and is read once for each change instead of once for each of its pods'.
type workload struct {
	metav1.ObjectMeta // name, namespace, uid, creation and resource version
	projection        runtimes.Projection
	claims            []string // as in the index byClaim
}

// workloadReader projects custom resources at the informer's door.
type workloadReader struct {
	runtime runtimes.Runtime
	log     *zap.Logger
}

func (r workloadReader) read(object any) (any, error) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil // read before, or a tombstone
	}
	out := &workload{ObjectMeta: metav1.ObjectMeta{
		Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
		CreationTimestamp: u.GetCreationTimestamp(),
	}}
	out.projection = r.project(u)
	for _, claim := range out.projection.Claims {
		out.claims = append(out.claims, claimKey(out.Namespace, r.runtime.Info().ID, claim))
	}
	return out, nil
}

// project survives a projection that panics: one odd object must not take the others off the screen.
func (r workloadReader) project(u *unstructured.Unstructured) (p runtimes.Projection) {
	info := r.runtime.Info()
	defer func() {
		if cause := recover(); cause != nil {
			r.log.Error("projection panics", zap.String("runtime", info.ID), zap.String("namespace", u.GetNamespace()),
				zap.String("name", u.GetName()), zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
			p = unreadable(info, u, cause)
		}
	}()
	return r.runtime.Project(u)
}

func unreadable(info runtimes.Info, u *unstructured.Unstructured, cause any) runtimes.Projection {
	gvk := u.GroupVersionKind()
	return runtimes.Projection{Deployment: api.Deployment{
		Id:   api.DeploymentKey(u.GetNamespace(), info.ID, u.GetName()).ID,
		Name: u.GetName(), Namespace: u.GetNamespace(), Provider: info.ID,
		ModelId: u.GetName(), ServedModelName: u.GetName(), Engine: api.EngineVllm, Mode: api.ModeAggregated,
		Phase: api.PhasePending, Message: fmt.Sprintf("This %s cannot be read: %v", info.Resource.Kind, cause),
		Roles: []api.Role{}, Conditions: []api.Condition{}, Reasons: []api.Reason{}, Pods: []api.PodSummary{},
		CreatedAt: u.GetCreationTimestamp().UTC(),
		Resource: api.ResourceRef{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Resource: info.Resource.Plural, Uid: string(u.GetUID()),
		},
	}}
}

func workloadClaims(object any) ([]string, error) {
	if w, ok := object.(*workload); ok {
		return w.claims, nil
	}
	return nil, nil
}

func workloadIndexers() cache.Indexers {
	return cache.Indexers{byClaim: workloadClaims, byName: workloadNames}
}
