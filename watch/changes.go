package watch

import (
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// capacityDelay gathers changes to what is summed over the cluster, of which a busy cluster has many a second.
const capacityDelay = 50 * time.Millisecond

// podChanged queues the pod, the deployments it belonged and belongs to, and the nodes whose GPUs it held and holds.
func (w *Watcher) podChanged(before, after *pod, c cause) {
	var booked entry
	some := after
	if after != nil {
		booked = after.entry
	} else {
		some = before
	}
	if held, changed := w.ledger.set(some.Namespace+"/"+some.Name, booked); changed {
		w.holdingChanged(held, booked, c)
	}
	w.claimsChanged(some.Namespace, claimsOf(before), c)
	w.claimsChanged(some.Namespace, claimsOf(after), c)
	if claimsOf(before) != nil || claimsOf(after) != nil {
		w.queue.add(api.PodKey(some.Namespace, some.Name), c)
	}
}

func (w *Watcher) holdingChanged(before, after entry, c cause) {
	for _, e := range []entry{before, after} {
		switch {
		case e.gpus == 0:
		case e.node == "":
			w.queue.addAfter(api.CapacityKey(), c, capacityDelay)
		default:
			w.queue.add(api.NodeKey(e.node), c)
		}
	}
}

func claimsOf(p *pod) []string {
	if p == nil {
		return nil
	}
	return p.claims
}

// claimsChanged queues the deployments that have one of the claims.
func (w *Watcher) claimsChanged(namespace string, claims []string, c cause) {
	for _, claim := range claims {
		for _, rt := range w.runtimes {
			for _, owner := range by[*workload](rt.workloads, byClaim, namespace, claim) {
				w.queue.add(api.DeploymentKey(namespace, rt.info.ID, owner.Name), c)
			}
		}
	}
}

// workloadChanged queues the deployment. Where its claims are new or gone, their pods belong to another deployment or to
// none, and so may pods of other deployments with the same claims.
func (w *Watcher) workloadChanged(rt *installed, before, after *workload, c cause) {
	var old, now []string
	some := after
	if before != nil {
		old, some = before.claims, before
	}
	if after != nil {
		now, some = after.claims, after
	}
	w.queue.add(api.DeploymentKey(some.Namespace, rt.info.ID, some.Name), c)
	if before != nil && after != nil && slices.Equal(old, now) {
		return
	}
	for _, claims := range [][]string{old, now} {
		w.claimsChanged(some.Namespace, claims, c)
		for _, claim := range claims {
			for _, p := range by[*pod](w.pods, byClaim, some.Namespace, claim) {
				w.queue.add(api.PodKey(p.Namespace, p.Name), c)
			}
		}
	}
}

// warningChanged queues the deployment that a Kubernetes Event is about, or whose pod it is about.
func (w *Watcher) warningChanged(before, after *corev1.Event, c cause) {
	for _, event := range []*corev1.Event{before, after} {
		if event == nil || event.InvolvedObject.Name == "" {
			continue
		}
		object := event.InvolvedObject
		if object.Kind == "Pod" {
			if p, ok := get[*pod](w.pods, object.Namespace, object.Name); ok {
				w.claimsChanged(object.Namespace, p.claims, c)
			}
			continue
		}
		if object.Kind == claimKind || isBetween(object.Kind) {
			w.betweenChanged(&object, c)
			continue
		}
		for _, rt := range w.runtimes {
			if rt.info.Resource.Kind == object.Kind {
				w.queue.add(api.DeploymentKey(object.Namespace, rt.info.ID, object.Name), c)
			}
		}
	}
}

// fleetChanged queues what is summed over the nodes.
func (w *Watcher) fleetChanged() {
	c := cause{received: time.Now()}
	w.queue.addAfter(api.CapacityKey(), c, capacityDelay)
	w.queue.addAfter(api.PoolsKey(), c, capacityDelay)
}

// nodeChanged queues the node, and the autoscaler where it could look different.
func (w *Watcher) nodeChanged(before, after *corev1.Node, c cause) {
	some := after
	if after == nil {
		some = before
	}
	w.queue.add(api.NodeKey(some.Name), c)
	if before == nil || after == nil || before.Spec.ProviderID != after.Spec.ProviderID || !maps.Equal(before.Labels, after.Labels) {
		w.queue.addAfter(api.AutoscalerKey(), c, capacityDelay)
	}
}

func (w *Watcher) operatorChanged(_, _ *appsv1.Deployment, c cause) {
	for _, rt := range w.runtimes {
		w.queue.add(api.RuntimeKey(rt.info.ID), c)
	}
}

// requeue queues every document of a kind, of one namespace if that is not empty: what the stores have, and what was
// published and may have to go.
func (w *Watcher) requeue(kind api.Kind, namespace string, c cause) {
	in := func(of string) bool { return namespace == "" || namespace == of }
	switch kind {
	case api.KindDeployments:
		for _, rt := range w.runtimes {
			for _, object := range all[*workload](rt.workloads) {
				if in(object.Namespace) {
					w.queue.add(api.DeploymentKey(object.Namespace, rt.info.ID, object.Name), c)
				}
			}
		}
	case api.KindPods:
		for _, p := range all[*pod](w.pods) {
			if p.claims != nil && in(p.Namespace) {
				w.queue.add(api.PodKey(p.Namespace, p.Name), c)
			}
		}
	case api.KindNodes:
		namespace = ""
		for _, node := range all[*corev1.Node](w.nodes) {
			w.queue.add(api.NodeKey(node.Name), c)
		}
	case api.KindRuntimes:
		for _, rt := range w.runtimes {
			w.queue.add(api.RuntimeKey(rt.info.ID), c)
		}
	case api.KindCapacity:
		w.queue.add(api.CapacityKey(), c)
	case api.KindPools:
		w.queue.add(api.PoolsKey(), c)
	case api.KindAutoscaler:
		w.queue.add(api.AutoscalerKey(), c)
	case api.KindOperations:
		namespace = "" // of the ConfigMaps, not of what they tell
		for _, object := range all[*corev1.ConfigMap](w.operations) {
			w.operationChanged(nil, object, c)
		}
	default:
	}
	for _, key := range w.shelf.keys(kind, namespace) {
		w.queue.add(key, c)
	}
}
