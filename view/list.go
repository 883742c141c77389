package view

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// Sort is a field that a list is ordered by. Equal values are ordered by id.
type Sort string

// The fields. The zero Sort is by id.
const (
	SortID        Sort = ""
	SortCreatedAt Sort = "createdAt"
	SortUpdatedAt Sort = "updatedAt"
	SortName      Sort = "name"
	SortNamespace Sort = "namespace"
	SortModelID   Sort = "modelId"
	SortProvider  Sort = "provider"
	SortEngine    Sort = "engine"
	SortPhase     Sort = "phase"
)

// Query asks for documents of one kind. Every filter that is empty lets everything pass.
type Query struct {
	Kind       api.Kind
	Sight      *api.Sight // what the caller may see; without one, nothing
	Namespace  string
	Runtime    string
	Phase      string
	Engine     string
	Name       string // exactly
	Deployment string // of pods: the id of their deployment
	Search     string // part of a deployment's name, namespace, model, served model or message, in any letter case
	Sort       Sort
	Descending bool
	Limit      int // 0: all
	Offset     int
}

// Page is the answer to a Query.
type Page struct {
	Documents [][]byte
	Total     int // documents that match, on all pages
	// Cursor is where the documents were read: a stream of the same kind and namespace goes on from here without a gap.
	Cursor api.Cursor
	State  api.KindState
}

// Version of the documents of some kinds and of what is known of them: it changes whenever the answer to a Query of these
// kinds may. It is comparable, and a key for caches.
type Version struct {
	Epoch    string
	Revision uint64
	Stale    bool
}

// Version is that of some kinds now. An answer that is kept under a version has to be read after the version was.
func (v *View) Version(kinds ...api.Kind) (Version, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	g := v.current
	if g == nil {
		return Version{}, errNotReady
	}
	version := Version{Epoch: g.epoch, Revision: g.changed[api.KindSources], Stale: g.stale()}
	for _, kind := range kinds {
		version.Revision = max(version.Revision, g.changed[kind])
	}
	if version.Stale { // since when is part of the answer
		version.Revision = max(version.Revision, g.changed[api.KindPublisher])
	}
	return version, nil
}

// Resumable tells whether a stream of a sight could resume from a cursor.
func (v *View) Resumable(c api.Cursor, sight *api.Sight) bool {
	_, err := v.Resume(c, sight)
	return err == nil
}

// Get returns one document, if there is one that the sight shows.
func (v *View) Get(k api.Key, sight *api.Sight) (doc []byte, ok bool, err error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current == nil {
		return nil, false, errNotReady
	}
	it, ok := v.current.byKey[k]
	if !ok || it.Deleted() || !sight.Includes(it.cell) {
		return nil, false, nil
	}
	return it.JSON, true, nil
}

// List answers a query.
func (v *View) List(q Query) (Page, error) {
	q.Search = strings.ToLower(q.Search)
	o := order{q.Kind, q.Sort, q.Descending}
	v.mu.RLock()
	if v.current != nil && !v.current.isSorted(o) {
		v.mu.RUnlock()
		v.sort(o)
		v.mu.RLock()
	}
	defer v.mu.RUnlock()
	g := v.current
	if g == nil {
		return Page{}, errNotReady
	}
	page := Page{
		Cursor: api.Cursor{Epoch: g.epoch, Revision: g.revision, Sight: q.Sight.Name()},
		State:  g.state(q.Kind, q.Namespace, q.Sight),
	}
	items := g.orders[o].items
	if !g.isSorted(o) { // changed again since it was sorted: an order of our own costs less than waiting for a quiet moment
		items = g.inOrder(o)
	}
	if q.matchesAll() && g.shows(q.Sight, q.Kind) {
		page.Total = len(items)
		items = items[min(q.Offset, len(items)):]
		if q.Limit > 0 {
			items = items[:min(q.Limit, len(items))]
		}
		page.Documents = make([][]byte, 0, len(items))
		for _, it := range items {
			page.Documents = append(page.Documents, it.JSON)
		}
		return page, nil
	}
	for _, it := range items {
		if !q.matches(it) {
			continue
		}
		if page.Total++; page.Total > q.Offset && (q.Limit == 0 || len(page.Documents) < q.Limit) {
			page.Documents = append(page.Documents, it.JSON)
		}
	}
	return page, nil
}

func (q Query) matchesAll() bool {
	return q.Namespace == "" && q.Runtime == "" && q.Phase == "" && q.Engine == "" && q.Name == "" && q.Deployment == "" && q.Search == ""
}

func (q Query) matches(it *item) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(q.Namespace, it.Key.Namespace) && is(q.Runtime, it.Provider) && is(q.Phase, it.Phase) && is(q.Engine, it.Engine) &&
		is(q.Name, it.Name) && is(q.Deployment, it.Deployment) && q.Sight.Includes(it.cell) && (q.Search == "" || strings.Contains(it.search, q.Search))
}

// order is one way to order the documents of a kind. There are few, so each is kept once asked for.
type order struct {
	kind       api.Kind
	by         Sort
	descending bool
}

// sorted is the documents of a kind in an order, as of a revision.
type sorted struct {
	items    []*item
	revision uint64
}

func (o order) compare(a, b *item) int {
	var c int
	switch o.by {
	case SortCreatedAt:
		c = a.CreatedAt.Compare(b.CreatedAt)
	case SortUpdatedAt:
		c = a.UpdatedAt.Compare(b.UpdatedAt)
	case SortName:
		c = cmp.Compare(a.Name, b.Name)
	case SortNamespace:
		c = cmp.Compare(a.Key.Namespace, b.Key.Namespace)
	case SortModelID:
		c = cmp.Compare(a.ModelID, b.ModelID)
	case SortProvider:
		c = cmp.Compare(a.Provider, b.Provider)
	case SortEngine:
		c = cmp.Compare(a.Engine, b.Engine)
	case SortPhase:
		c = cmp.Compare(a.Phase, b.Phase)
	}
	if o.descending {
		c = -c
	}
	if c == 0 {
		c = cmp.Compare(a.Key.ID, b.Key.ID)
	}
	return c
}

func (g *generation) isSorted(o order) bool {
	s, ok := g.orders[o]
	return ok && s.revision >= g.changed[o.kind]
}

// sort brings an order up to date.
func (v *View) sort(o order) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if g := v.current; g != nil && !g.isSorted(o) {
		g.orders[o] = sorted{g.inOrder(o), g.revision}
	}
}

// inOrder puts the documents of a kind in order. It starts from the order that is kept, if one is: what did not change since
// is in order already, so that a change in 10,000 documents costs a pass over pointers and not a sort.
func (g *generation) inOrder(o order) []*item {
	kept := g.orders[o]
	var fresh []*item
	for _, s := range g.log[g.after(kept.revision):] {
		if s.item != nil && s.item.Key.Kind == o.kind && !s.item.Deleted() {
			fresh = append(fresh, s.item)
		}
	}
	slices.SortFunc(fresh, o.compare)
	merged := make([]*item, 0, len(kept.items)+len(fresh))
	for _, it := range kept.items {
		if it.pos < 0 {
			continue
		}
		for len(fresh) > 0 && o.compare(fresh[0], it) < 0 {
			merged, fresh = append(merged, fresh[0]), fresh[1:]
		}
		merged = append(merged, it)
	}
	return append(merged, fresh...)
}
