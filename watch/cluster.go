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
			w.queue.addAfter(api.CapacityKey(), cause{received: time.Now()}, capacityDelay)
		}
		return outcome{}
	}
	doc := capacity.Node(node, w.ledger.on(node.Name))
	if w.fleet.set(doc) {
		w.queue.addAfter(api.CapacityKey(), cause{received: time.Now()}, capacityDelay)
	}
	return outcome{doc: doc}
}

// capacity adds up the nodes as they were last seen. One that was not looked at yet is looked at now, so that the totals
// never grow from zero while a cluster is first read.
func (w *Watcher) capacity() outcome {
	if !w.nodes.allResolved() || !w.pods.allResolved() {
		return held()
	}
	nodes := all[*corev1.Node](w.nodes)
	docs := make([]api.Node, len(nodes))
	for i, node := range nodes {
		doc, ok := w.fleet.get(node.Name)
		if !ok {
			doc = capacity.Node(node, w.ledger.on(node.Name))
		}
		docs[i] = doc
	}
	return outcome{doc: capacity.Cluster(docs, w.ledger.waiting())}
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
