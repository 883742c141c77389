package watch

import (
	"sync"
)

// ledger keeps the GPUs that pods hold on each node and that pods wait for, entry by entry: a pod that changes costs the
// two nodes it touches, however many pods there are.
type ledger struct {
	mu      sync.RWMutex
	pods    map[string]entry // by namespace/name; only pods that ask for GPUs
	nodes   map[string]int
	pending int
}

// entry is what one pod holds: on a node, or on none yet.
type entry struct {
	node string
	gpus int
}

func newLedger() *ledger { return &ledger{pods: map[string]entry{}, nodes: map[string]int{}} }

// set books what a pod holds now; no GPUs strike it out. It returns what it held before.
func (l *ledger) set(pod string, e entry) (before entry, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.pods[pod]
	if e.gpus <= 0 {
		e = entry{}
	}
	if e == before {
		return before, false
	}
	l.bookLocked(before, -1)
	l.bookLocked(e, 1)
	if e.gpus == 0 {
		delete(l.pods, pod)
	} else {
		l.pods[pod] = e
	}
	return before, true
}

func (l *ledger) bookLocked(e entry, sign int) {
	if e.gpus == 0 {
		return
	}
	if e.node == "" {
		l.pending += sign * e.gpus
		return
	}
	if l.nodes[e.node] += sign * e.gpus; l.nodes[e.node] == 0 {
		delete(l.nodes, e.node)
	}
}

// on returns the GPUs that pods hold on a node.
func (l *ledger) on(node string) int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.nodes[node]
}

// waiting returns the GPUs that pods without a node ask for.
func (l *ledger) waiting() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.pending
}
