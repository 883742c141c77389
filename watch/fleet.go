package watch

import (
	"sync"

	"github.com/kubefoundry/kubefoundry/api"
)

// fleet holds the last document of each node, so that the cluster's totals and its pools are sums over small values.
type fleet struct {
	mu    sync.Mutex
	nodes map[string]api.Node
}

func newFleet() *fleet { return &fleet{nodes: map[string]api.Node{}} }

// set returns whether anything changed that sums are made of.
func (f *fleet) set(node api.Node) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, ok := f.nodes[node.Name]
	f.nodes[node.Name] = node
	return !ok || before != node
}

func (f *fleet) remove(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.nodes[name]
	delete(f.nodes, name)
	return ok
}

func (f *fleet) get(name string) (api.Node, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	node, ok := f.nodes[name]
	return node, ok
}
