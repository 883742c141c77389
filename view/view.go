package view

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// Options of a View.
type Options struct {
	// Retention is how long a tombstone is kept, and so how long a reader may be away without starting over. The bucket has
	// to keep its own for at least twice as long. Default 10 minutes.
	Retention time.Duration
}

// View is the documents of the current epoch. See the package comment for who may call what.
type View struct {
	retention time.Duration

	mu      sync.RWMutex
	current *generation // nil until the first epoch is complete
	next    *generation // an epoch that is still being read

	// cells is how often a cell came into being, or an epoch with its cells. It is changed with mu held; every stream reads it
	// at every change.
	cells atomic.Uint64
	wake  chan struct{}
}

// New makes an empty view: it has no epoch, so every read of it is answered with NotSynced.
func New(o Options) *View {
	if o.Retention <= 0 {
		o.Retention = 10 * time.Minute
	}
	return &View{retention: o.Retention, wake: make(chan struct{})}
}

// Apply takes entries of an epoch in the order of their revisions. Those of an epoch other than the one being served are
// gathered aside until a call says that they are complete; from then on that epoch is the one served.
func (v *View) Apply(epoch string, entries []api.Entry, complete bool) {
	items := make([]*item, len(entries))
	for i, e := range entries {
		items[i] = &item{Entry: e, fields: decodeFields(e), cell: e.Key.Cell()} // decoded before the lock: readers need not wait for it
	}
	expired := time.Now().Add(-v.retention)

	v.mu.Lock()
	g := v.generation(epoch)
	for _, it := range items {
		g.put(it)
	}
	if g == v.next {
		if !complete {
			v.mu.Unlock()
			return
		}
		g.seal(expired)
		v.current, v.next = g, nil
		g.spread = true
	}
	if g.spread {
		v.cells.Add(1)
		g.spread = false
	}
	g.bury(expired)
	wake := v.wake
	v.wake = make(chan struct{})
	v.mu.Unlock()
	close(wake)
}

// generation is the one that entries of this epoch belong to. Called with mu held.
func (v *View) generation(epoch string) *generation {
	if v.current != nil && v.current.epoch == epoch {
		v.next = nil // the follower came back to the epoch that is served: what it had begun is void
		return v.current
	}
	if v.next == nil || v.next.epoch != epoch {
		v.next = newGeneration(epoch)
	}
	return v.next
}

// Position is how far the newest epoch was read, for the follower to go on from there; keys counts its keys, tombstones
// included.
func (v *View) Position() (epoch string, revision uint64, keys int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	g := v.next
	if g == nil {
		g = v.current
	}
	if g == nil {
		return "", 0, 0
	}
	return g.epoch, g.revision, len(g.byKey)
}

// Cursor is the newest place there is; ok is false before the first epoch is complete.
func (v *View) Cursor() (c api.Cursor, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return api.Cursor{}, false
	}
	return api.Cursor{Epoch: v.current.epoch, Revision: v.current.revision}, true
}

// Wait returns a channel that is closed at the next change. Take it before reading, or a change in between goes unnoticed.
func (v *View) Wait() <-chan struct{} {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.wake
}

// Size tells how many documents of each kind there are, and how many tombstones, for metrics.
func (v *View) Size() (documents map[api.Kind]int, tombstones int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	documents = map[api.Kind]int{}
	if v.current == nil {
		return documents, 0
	}
	for kind, byCell := range v.current.counts {
		for _, n := range byCell {
			documents[kind] += n
		}
	}
	return documents, v.current.buried
}

// Cells lists the cells that hold documents, or tombstones of some.
func (v *View) Cells() (cells []api.Cell, version uint64) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current != nil {
		cells = slices.Collect(maps.Keys(v.current.cells))
	}
	return cells, v.cells.Load()
}

// CellsVersion changes when a cell comes into being: somebody's rights to its documents have not been looked at then. It does
// not when one ends.
func (v *View) CellsVersion() uint64 { return v.cells.Load() }
