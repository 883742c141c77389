package watch

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/autoscaler"
	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

// autoscalerCheck is how often an autoscaler's status is looked at for its age alone.
const autoscalerCheck = 30 * time.Second

// node is a node with the GPUs that its pods hold.
func (w *Watcher) node(key api.Key) outcome {
	if !w.nodes.allResolved() || !w.pods.allResolved() {
		return held()
	}
	node, ok := get[*corev1.Node](w.nodes, "", key.ID)
	if !ok {
		if w.fleet.remove(key.ID) {
			w.fleetChanged()
		}
		return outcome{}
	}
	doc := capacity.Node(node, w.ledger.on(node.Name))
	if w.fleet.set(doc) {
		w.fleetChanged()
	}
	return outcome{doc: doc}
}

// capacity is the totals of the nodes and of what waits for one. The pools are a document of their own: totals are for
// everybody, pools tell of nodes.
func (w *Watcher) capacity() outcome {
	if !w.nodes.allResolved() || !w.pods.allResolved() {
		return held()
	}
	return outcome{doc: capacity.Totals(w.nodesAsSeen(), w.ledger.waiting())}
}

// pools is an empty list where there are no nodes: the document is never deleted.
func (w *Watcher) pools() outcome {
	if !w.nodes.allResolved() || !w.pods.allResolved() {
		return held()
	}
	return outcome{doc: capacity.Pools(w.nodesAsSeen())}
}

// nodesAsSeen are the nodes as they were last seen. One that was not looked at yet is looked at now, so that sums never
// grow from zero while a cluster is first read.
func (w *Watcher) nodesAsSeen() []api.Node {
	nodes := all[*corev1.Node](w.nodes)
	docs := make([]api.Node, len(nodes))
	for i, node := range nodes {
		doc, ok := w.fleet.get(node.Name)
		if !ok {
			doc = capacity.Node(node, w.ledger.on(node.Name))
		}
		docs[i] = doc
	}
	return docs
}

// autoscaler depends on the time too, for an autoscaler that stopped writes nothing.
func (w *Watcher) autoscaler() outcome {
	if !w.nodes.allResolved() || !w.autoscalerStatus.allResolved() || !w.autoscalerDeployments.allResolved() {
		return held()
	}
	in := autoscaler.Input{
		Nodes:       all[*corev1.Node](w.nodes),
		Deployments: all[*appsv1.Deployment](w.autoscalerDeployments),
		Now:         w.shelf.now(),
	}
	if status, ok := get[*corev1.ConfigMap](w.autoscalerStatus, autoscaler.StatusNamespace, autoscaler.StatusName); ok {
		in.Status = status
		w.queue.again(api.AutoscalerKey(), autoscalerCheck)
	}
	return outcome{doc: autoscaler.Detect(in)}
}
