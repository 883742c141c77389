package view

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// generation is all that is known in one epoch. It is guarded by View.mu.
type generation struct {
	epoch    string
	byKey    map[api.Key]*item // tombstones included
	log      []slot            // by revision
	gaps     int               // slots whose item was superseded
	revision uint64
	// horizon is the oldest revision from which a reader can be brought up to date: tombstones up to it may be gone.
	horizon    uint64
	tombstones []*item // the oldest first; superseded ones are passed over when their turn comes
	buried     int     // tombstones in byKey
	changed    map[api.Kind]uint64
	counts     map[api.Kind]map[api.Cell]int // documents
	cells      map[api.Cell]int              // keys, tombstones included
	spread     bool                          // a cell came into being; reset by who takes note
	states     map[api.Kind]api.KindState
	cluster    api.ClusterState
	heartbeat  time.Time // of the publisher
	orders     map[order]sorted
}

type slot struct {
	revision uint64
	item     *item // nil where superseded
}

// item is an entry with its fields decoded. Only pos changes after it was made.
type item struct {
	api.Entry
	fields
	cell api.Cell
	pos  int // index in the log; superseded: -1
}

func newGeneration(epoch string) *generation {
	return &generation{
		epoch:   epoch,
		byKey:   map[api.Key]*item{},
		changed: map[api.Kind]uint64{},
		counts:  map[api.Kind]map[api.Cell]int{},
		cells:   map[api.Cell]int{},
		states:  map[api.Kind]api.KindState{},
		orders:  map[order]sorted{},
	}
}

// put takes one change. A revision that is not new is one that a resumed watch delivers twice.
func (g *generation) put(it *item) {
	if it.Revision <= g.revision {
		return
	}
	g.revision = it.Revision
	if old, ok := g.byKey[it.Key]; ok {
		g.forget(old)
	} else if g.cells[it.cell]++; g.cells[it.cell] == 1 {
		g.spread = true
	}
	it.pos = len(g.log)
	g.log = append(g.log, slot{it.Revision, it})
	g.byKey[it.Key] = it
	if it.Deleted() {
		g.tombstones = append(g.tombstones, it)
		g.buried++
	} else {
		g.count(it.cell, +1)
	}
	g.changed[it.Key.Kind] = it.Revision
	g.note(it)
	if g.gaps > 1024 && g.gaps > len(g.log)/2 {
		g.compact()
	}
}

// forget takes a superseded or expired item out of the log.
func (g *generation) forget(old *item) {
	g.log[old.pos].item = nil
	old.pos = -1
	g.gaps++
	if old.Deleted() {
		g.buried--
	} else {
		g.count(old.cell, -1)
	}
}

func (g *generation) count(c api.Cell, by int) {
	byCell := g.counts[c.Kind]
	if byCell == nil {
		byCell = map[api.Cell]int{}
		g.counts[c.Kind] = byCell
	}
	if byCell[c] += by; byCell[c] == 0 {
		delete(byCell, c)
	}
}

// note keeps what the documents of the internal kinds say. One that cannot be decoded is one of a newer version: what it
// says stays unknown.
func (g *generation) note(it *item) {
	switch it.Key.Kind {
	case api.KindSources:
		delete(g.states, api.Kind(it.Key.ID))
		var state api.KindState
		if !it.Deleted() && json.Unmarshal(it.JSON, &state) == nil {
			g.states[api.Kind(it.Key.ID)] = state
		}
	case api.KindCluster:
		g.cluster = api.ClusterState{}
		if !it.Deleted() {
			_ = json.Unmarshal(it.JSON, &g.cluster)
		}
	case api.KindPublisher:
		g.heartbeat = it.Time
	}
}

func (g *generation) compact() {
	kept := make([]slot, 0, len(g.log)-g.gaps+len(g.log)/4)
	for _, s := range g.log {
		if s.item != nil {
			s.item.pos = len(kept)
			kept = append(kept, s)
		}
	}
	g.log, g.gaps = kept, 0
}

// bury drops the tombstones that are older than before, and the oldest of those beyond the number allowed, so that a
// cluster that makes and deletes pods all day does not fill the memory. The horizon moves up to the last one dropped.
func (g *generation) bury(before time.Time) {
	allowed := 4096 + 2*(len(g.byKey)-g.buried)
	dropped := 0
	for _, it := range g.tombstones {
		if it.pos >= 0 {
			if g.buried <= allowed && !it.Time.Before(before) {
				break
			}
			g.horizon = it.Revision
			delete(g.byKey, it.Key)
			g.forget(it)
			if g.cells[it.cell]--; g.cells[it.cell] == 0 {
				delete(g.cells, it.cell)
			}
		}
		dropped++
	}
	if dropped > 0 {
		g.tombstones = slices.Delete(g.tombstones, 0, dropped)
	}
}

// seal sets the horizon of a generation that was read from a bucket whose own tombstones expire: those deleted before the
// first entry younger than since may be gone already, so only a reader who has seen all before that entry can be served.
// The last entry of a bucket is never a tombstone that has expired, for the publisher's heartbeat comes after it.
func (g *generation) seal(since time.Time) {
	g.horizon = g.revision
	for _, s := range g.log {
		if s.item != nil && !s.item.Time.Before(since) {
			g.horizon = s.revision - 1
			return
		}
	}
}

// after is the index of the first slot with a revision above r. Readers are nearly always close to the end.
func (g *generation) after(r uint64) int {
	n := len(g.log)
	for i := n; i > 0 && i > n-8; i-- {
		if g.log[i-1].revision <= r {
			return i
		}
	}
	i, _ := slices.BinarySearchFunc(g.log, r+1, func(s slot, r uint64) int {
		switch {
		case s.revision < r:
			return -1
		case s.revision > r:
			return 1
		}
		return 0
	})
	return i
}
