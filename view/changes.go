package view

import (
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// Scope is what a reader wants and may see. It looks at keys only: a document never enters or leaves a scope.
type Scope struct {
	Kinds []api.Kind // all public kinds where empty
	// Namespace limits to one namespace. Documents that belong to none are in every scope of their kind.
	Namespace string
	// Sight is what the reader may see. Without one, that is nothing.
	Sight *api.Sight
}

// Includes tells whether the documents of a cell are in the scope.
func (s Scope) Includes(c api.Cell) bool {
	if s.Namespace != "" && c.Namespace != "" && c.Namespace != s.Namespace {
		return false
	}
	return slices.Contains(s.kinds(), c.Kind) && s.Sight.Includes(c)
}

var publicKinds = api.Kinds()

func (s Scope) kinds() []api.Kind {
	if len(s.Kinds) == 0 {
		return publicKinds
	}
	return s.Kinds
}

// String is the same for equal scopes and different for different ones.
func (s Scope) String() string {
	kinds := slices.Clone(s.kinds())
	slices.Sort(kinds)
	var b strings.Builder
	for _, k := range slices.Compact(kinds) {
		b.WriteString(string(k))
		b.WriteByte(',')
	}
	return b.String() + "/" + s.Namespace + "/" + s.Sight.Name()
}

// Reader is a place in the log, as one reader stands there. It is a value: Changes returns the next one.
type Reader struct {
	Cursor api.Cursor
	// floor is the revision at which the reader's snapshot began. It has nothing that was deleted before, so tombstones up to
	// there do not concern it, and neither does a horizon below. 0 once the snapshot is complete.
	floor uint64
	// states is the revision of the states it was told last, stale whether it was told that the publisher is silent.
	states uint64
	stale  bool
}

// Snapshotting tells whether the reader is still inside its first snapshot. A cursor taken there is of no use to anybody
// else.
func (r Reader) Snapshotting() bool { return r.Cursor.Revision < r.floor }

// Batch is what a reader has to apply next.
type Batch struct {
	Entries []*api.Entry
	Next    Reader
	// More tells that there are further entries now: what the reader holds is not yet a consistent whole.
	More bool
	// States tells what is known of each kind in the scope at Next.Cursor, where that is new to the reader.
	States map[api.Kind]api.KindState
}

// ResetError says that a cursor cannot be brought up to date: the reader has to forget everything and to start with
// Snapshot.
type ResetError struct{ Reason api.ResetEventReason }

func (e *ResetError) Error() string { return "the cursor cannot be resumed: " + string(e.Reason) }

var errNotReady = api.Errorf(api.ErrorCodeNotSynced, "the server has just started and has not read the cluster yet; try again in a few seconds")

// Snapshot is a reader of a sight who has seen nothing.
func (v *View) Snapshot(sight *api.Sight) (Reader, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	g := v.current
	if g == nil {
		return Reader{}, errNotReady
	}
	return Reader{Cursor: api.Cursor{Epoch: g.epoch, Sight: sight.Name()}, floor: g.revision}, nil
}

// Resume is a reader of a sight who has seen everything up to a cursor, or a *ResetError where that does not suffice: also
// where the cursor was made with another sight, for its reader may hold too little or too much.
func (v *View) Resume(c api.Cursor, sight *api.Sight) (Reader, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return Reader{}, errNotReady
	}
	r := Reader{Cursor: c}
	return r, v.current.check(r, sight, api.ResetEventReasonUnknownEpoch)
}

// check tells whether a reader can be brought up to date.
func (g *generation) check(r Reader, sight *api.Sight, otherEpoch api.ResetEventReason) error {
	switch {
	case r.Cursor.Epoch != g.epoch:
		return &ResetError{otherEpoch}
	case r.Cursor.Sight != sight.Name():
		return &ResetError{api.ResetEventReasonRightsChanged}
	case r.Cursor.Revision > g.revision:
		return &ResetError{api.ResetEventReasonFutureRevision}
	case max(r.Cursor.Revision, r.floor) < g.horizon:
		return &ResetError{api.ResetEventReasonTooOld}
	}
	return nil
}

// Changes returns what a reader has to apply next: at most maxEntries entries whose documents have about maxBytes in all.
// The error is a *ResetError, or an *api.Error before the first epoch is complete.
func (v *View) Changes(r Reader, scope Scope, maxEntries, maxBytes int) (Batch, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	g := v.current
	if g == nil {
		return Batch{}, errNotReady
	}
	if err := g.check(r, scope.Sight, api.ResetEventReasonNewEpoch); err != nil {
		return Batch{}, err
	}
	batch := Batch{Next: r}
	size := 0
	for i := g.after(r.Cursor.Revision); i < len(g.log); i++ {
		it := g.log[i].item
		if it == nil || !scope.Includes(it.cell) || it.Deleted() && it.Revision <= r.floor {
			continue
		}
		if len(batch.Entries) > 0 && (len(batch.Entries) == maxEntries || size+len(it.JSON) > maxBytes) {
			batch.More = true
			return batch, nil
		}
		size += len(it.JSON)
		batch.Entries = append(batch.Entries, &it.Entry)
		batch.Next.Cursor.Revision = it.Revision
	}
	batch.Next.Cursor.Revision = g.revision
	batch.Next.floor = 0 // of no more use; without it, readers at the same place are equal, however they came there
	told, stale := g.changed[api.KindSources], g.stale()
	if r.states < told || r.states == 0 || r.stale != stale {
		batch.Next.states, batch.Next.stale = max(told, 1), stale
		batch.States = g.stateOf(scope)
	}
	return batch, nil
}
