package view

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

// world is what the view has to agree with: every entry ever applied, by epoch. It knows nothing of logs, slots or horizons.
type world struct {
	view    *View
	epoch   string
	history map[string][]api.Entry
}

// at folds the history of an epoch up to a revision into the documents of a scope.
func (w *world) at(c api.Cursor, scope Scope) map[api.Key]string {
	documents := map[api.Key]string{}
	for _, e := range w.history[c.Epoch] {
		if e.Revision > c.Revision || !scope.Includes(e.Key.Cell()) {
			continue
		}
		if e.Deleted() {
			delete(documents, e.Key)
		} else {
			documents[e.Key] = string(e.JSON)
		}
	}
	return documents
}

// client folds batches as any consumer of the stream does.
type client struct {
	reader Reader
	scope  Scope
	holds  map[api.Key]string
	last   map[api.Key]uint64
	told   map[api.Kind]api.KindState
}

func (c *client) restart(t require.TestingT, v *View) {
	r, err := v.Snapshot(c.scope.Sight)
	require.NoError(t, err)
	c.reader, c.holds, c.last, c.told = r, map[api.Key]string{}, map[api.Key]uint64{}, nil
}

// read takes one batch, and reports whether the client now holds a consistent whole.
func (c *client) read(t require.TestingT, v *View, entries, bytes int) bool {
	batch, err := v.Changes(c.reader, c.scope, entries, bytes)
	if _, reset := errors.AsType[*ResetError](err); reset {
		c.restart(t, v)
		return false
	}
	require.NoError(t, err)
	previous := c.reader.Cursor.Revision
	for _, e := range batch.Entries {
		require.True(t, c.scope.Includes(e.Key.Cell()), "out of scope: %v", e.Key)
		require.Greater(t, e.Revision, previous, "revisions have to rise within a stream")
		require.Greater(t, e.Revision, c.last[e.Key], "revisions have to rise for each key")
		previous, c.last[e.Key] = e.Revision, e.Revision
		if e.Deleted() {
			delete(c.holds, e.Key)
		} else {
			c.holds[e.Key] = string(e.JSON)
		}
	}
	require.LessOrEqual(t, len(batch.Entries), entries)
	c.reader = batch.Next
	if batch.States != nil {
		c.told = batch.States
	}
	return !batch.More
}

func keyGen() *rapid.Generator[api.Key] {
	return rapid.Custom(func(t *rapid.T) api.Key {
		n := rapid.IntRange(0, 15).Draw(t, "n")
		ns := fmt.Sprintf("ns%d", n%3)
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return api.PodKey(ns, fmt.Sprint("p", n))
		case 1:
			return api.NodeKey(fmt.Sprint("n", n))
		case 2:
			return api.SourcesKey(api.Kinds()[n%len(api.Kinds())])
		}
		return api.DeploymentKey(ns, []string{"kaito", "dynamo"}[n%2], fmt.Sprint("d", n))
	})
}

func sightGen() *rapid.Generator[*api.Sight] {
	return rapid.Custom(func(t *rapid.T) *api.Sight {
		switch rapid.IntRange(0, 5).Draw(t, "sight") {
		case 0:
			return nil
		case 1, 2:
			return api.Everything()
		}
		classes := map[api.Class]api.SightOf{}
		for _, class := range []api.Class{
			{Kind: api.KindPods},
			{Kind: api.KindNodes},
			{Kind: api.KindCapacity},
			{Kind: api.KindDeployments, Part: "kaito"},
			{Kind: api.KindDeployments, Part: "dynamo"},
		} {
			if rapid.Bool().Draw(t, "known") {
				classes[class] = api.SightOf{
					All:        rapid.IntRange(0, 2).Draw(t, "all") == 0,
					Namespaces: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ns0", "ns1", "ns2"}), 0, 3, rapid.ID).Draw(t, "namespaces"),
				}
			}
		}
		return api.NewSight(classes)
	})
}

func scopeGen() *rapid.Generator[Scope] {
	return rapid.Custom(func(t *rapid.T) Scope {
		kinds := rapid.SliceOfNDistinct(rapid.SampledFrom(api.Kinds()), 0, 3, rapid.ID).Draw(t, "kinds")
		return Scope{Kinds: kinds, Namespace: rapid.SampledFrom([]string{"", "ns0", "ns1"}).Draw(t, "namespace"), Sight: sightGen().Draw(t, "sight")}
	})
}

// TestReadersHoldWhatAListReturns is the invariant of the package: whatever happens, in whatever order, a reader that has
// caught up holds exactly what a list returns at its cursor, or is told to start over.
func TestReadersHoldWhatAListReturns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{view: New(Options{Retention: time.Hour}), history: map[string][]api.Entry{}}
		epochs, revision, now := 0, uint64(0), time.Now().Add(-3*time.Hour)
		entry := func() api.Entry {
			revision += uint64(rapid.IntRange(1, 3).Draw(t, "step"))
			e := api.Entry{Key: keyGen().Draw(t, "key"), Revision: revision, Time: now}
			if rapid.IntRange(0, 2).Draw(t, "delete") > 0 {
				e.JSON = fmt.Appendf(nil, `{"name":"%d","createdAt":"2026-01-02T03:04:%02dZ"}`, revision%7, revision%50)
			}
			w.history[w.epoch] = append(w.history[w.epoch], e)
			return e
		}
		newEpoch := func() {
			epochs++
			w.epoch, revision = fmt.Sprint("e", epochs), uint64(rapid.IntRange(0, 5).Draw(t, "first"))
			var entries []api.Entry
			for range rapid.IntRange(0, 20).Draw(t, "snapshot") {
				entries = append(entries, entry())
				if rapid.IntRange(0, 5).Draw(t, "pause") == 0 {
					now = now.Add(40 * time.Minute)
				}
			}
			// The publisher renews its state after everything else.
			revision++
			beat := api.Entry{Key: api.PublisherKey(), Revision: revision, Time: now, JSON: []byte(`{}`)}
			entries, w.history[w.epoch] = append(entries, beat), append(w.history[w.epoch], beat)
			// A bucket holds the last entry of each key, and forgets its tombstones in the end: a process that starts late never
			// hears of those deletions.
			last := map[api.Key]uint64{}
			for _, e := range entries {
				last[e.Key] = e.Revision
			}
			kept := slices.DeleteFunc(entries, func(e api.Entry) bool {
				return last[e.Key] != e.Revision || e.Deleted() && e.Time.Before(time.Now().Add(-2*time.Hour))
			})
			before, _ := w.view.Cursor()
			w.view.Apply(w.epoch, kept, false)
			after, _ := w.view.Cursor()
			require.Equal(t, before, after, "an incomplete epoch must not be seen")
			w.view.Apply(w.epoch, nil, true)
		}
		newEpoch()
		clients := make([]*client, 4)
		for i := range clients {
			clients[i] = &client{scope: scopeGen().Draw(t, "scope")}
			clients[i].restart(t, w.view)
		}
		saved := map[int]*client{}
		check := func(c *client) {
			want := w.at(c.reader.Cursor, c.scope)
			require.Equal(t, want, c.holds, "at %v in %v", c.reader.Cursor, c.scope)
			require.NotNil(t, c.told)
			now, _ := w.view.Cursor()
			now.Sight = c.scope.Sight.Name()
			if now == c.reader.Cursor {
				for _, kind := range c.scope.kinds() {
					page, err := w.view.List(Query{Kind: kind, Sight: c.scope.Sight, Namespace: c.scope.Namespace, Sort: SortCreatedAt, Descending: true})
					require.NoError(t, err)
					require.Equal(t, now, page.Cursor)
					if c.scope.Namespace == "" {
						require.Equal(t, page.Total, page.State.Count)
					}
					got, has := texts(page.Documents), []string{}
					for k, d := range c.holds {
						if k.Kind == kind && (c.scope.Namespace == "" || k.Namespace == c.scope.Namespace) {
							has = append(has, d)
						}
					}
					slices.Sort(got)
					slices.Sort(has)
					require.Equal(t, has, got)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				var entries []api.Entry
				for range rapid.IntRange(1, 6).Draw(t, "entries") {
					entries = append(entries, entry())
				}
				w.view.Apply(w.epoch, entries, false)
			},
			"apply again": func(*rapid.T) { // a watch that was resumed one revision too early
				h := w.history[w.epoch]
				w.view.Apply(w.epoch, h[len(h)-min(len(h), 2):], false)
			},
			"time passes": func(*rapid.T) { now = now.Add(20 * time.Minute) },
			"new epoch":   func(*rapid.T) { newEpoch() },
			"read": func(t *rapid.T) {
				c := clients[rapid.IntRange(0, 3).Draw(t, "client")]
				if c.read(t, w.view, rapid.IntRange(1, 8).Draw(t, "entries"), rapid.IntRange(1, 400).Draw(t, "bytes")) {
					check(c)
				}
			},
			"cut and resume": func(t *rapid.T) {
				i := rapid.IntRange(0, 3).Draw(t, "client")
				c := clients[i]
				if old := saved[i]; old != nil && rapid.Bool().Draw(t, "ancient") {
					c = old
				}
				if c.reader.Snapshotting() {
					c.restart(t, w.view) // no id was given inside the snapshot: the client starts over
				} else if r, err := w.view.Resume(c.reader.Cursor, c.scope.Sight); err != nil {
					var reset *ResetError
					require.ErrorAs(t, err, &reset)
					c.restart(t, w.view)
				} else {
					c.reader = r
				}
				clients[i] = c
			},
			"come from another replica": func(t *rapid.T) {
				c := clients[rapid.IntRange(0, 3).Draw(t, "client")]
				at, _ := w.view.Cursor()
				at.Sight = c.scope.Sight.Name()
				at.Revision = rapid.Uint64Range(0, at.Revision).Draw(t, "revision")
				if r, err := w.view.Resume(at, c.scope.Sight); err == nil {
					c.reader, c.holds, c.last, c.told = r, w.at(at, c.scope), map[api.Key]uint64{}, nil
				}
			},
			"rights change": func(t *rapid.T) { // the reader is told, or its sight shows the same
				c := clients[rapid.IntRange(0, 3).Draw(t, "client")]
				c.scope.Sight = sightGen().Draw(t, "sight")
				_, err := w.view.Changes(c.reader, c.scope, 1, 1)
				_, reset := errors.AsType[*ResetError](err)
				if c.reader.Cursor.Sight != c.scope.Sight.Name() {
					require.True(t, reset, "a reader went on with another sight: %v", err)
				} else if reset {
					require.NotEqual(t, (&ResetError{api.ResetEventReasonRightsChanged}).Error(), err.Error())
				}
			},
			"remember": func(t *rapid.T) {
				i := rapid.IntRange(0, 3).Draw(t, "client")
				c := clients[i]
				saved[i] = &client{reader: c.reader, scope: c.scope, holds: maps.Clone(c.holds), last: maps.Clone(c.last), told: c.told}
			},
		})
		for _, c := range clients {
			for !c.read(t, w.view, 3, 1<<20) {
			}
			check(c)
		}
	})
}

// TestListsAreOrdered holds the kept order, mended change by change, against a sort of everything.
func TestListsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := New(Options{})
		v.Apply("e", nil, true)
		sorts := []Sort{SortID, SortName, SortCreatedAt, SortPhase, SortNamespace}
		revision := uint64(0)
		for range rapid.IntRange(1, 30).Draw(t, "rounds") {
			for range rapid.IntRange(0, 5).Draw(t, "changes") {
				revision++
				e := api.Entry{Key: keyGen().Draw(t, "key"), Revision: revision, Time: time.Now()}
				if rapid.Bool().Draw(t, "put") {
					e.JSON = fmt.Appendf(nil, `{"name":"%d","phase":"%d","createdAt":"2026-01-02T03:04:%02dZ"}`,
						rapid.IntRange(0, 5).Draw(t, "name"), rapid.IntRange(0, 3).Draw(t, "phase"), rapid.IntRange(0, 9).Draw(t, "created"))
				}
				v.Apply("e", []api.Entry{e}, false)
			}
			q := Query{Kind: api.KindDeployments, Sight: sightGen().Draw(t, "sight"), Sort: rapid.SampledFrom(sorts).Draw(t, "sort"), Descending: rapid.Bool().Draw(t, "descending")}
			all, err := v.List(q)
			require.NoError(t, err)
			v.current.orders = map[order]sorted{}
			anew, err := v.List(q)
			require.NoError(t, err)
			require.Equal(t, texts(anew.Documents), texts(all.Documents))
			require.Equal(t, len(all.Documents), all.Total)
			require.Equal(t, all.State.Count, all.Total)

			q.Limit, q.Offset = rapid.IntRange(1, 4).Draw(t, "limit"), rapid.IntRange(0, 20).Draw(t, "offset")
			page, err := v.List(q)
			require.NoError(t, err)
			require.Equal(t, all.Total, page.Total)
			from := min(q.Offset, all.Total)
			require.Equal(t, texts(all.Documents[from:min(from+q.Limit, all.Total)]), texts(page.Documents))
		}
	})
}

// TestBeforeTheFirstEpochNothingIsKnown: an empty list would be a lie.
func TestBeforeTheFirstEpochNothingIsKnown(t *testing.T) {
	v := New(Options{})
	v.Apply("e", []api.Entry{{Key: api.NodeKey("a"), Revision: 1, JSON: []byte(`{}`)}}, false)
	for _, err := range []error{
		second(v.List(Query{Kind: api.KindNodes})), second(v.Snapshot(api.Everything())), second(v.States(Scope{})), second(v.Cluster()),
		second(v.Resume(api.Cursor{Epoch: "e", Revision: 1}, api.Everything())),
	} {
		var e *api.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, api.ErrorCodeNotSynced, e.Code)
	}
}

func texts(documents [][]byte) []string {
	texts := make([]string, len(documents))
	for i, d := range documents {
		texts[i] = string(d)
	}
	return texts
}

func second[T any](_ T, err error) error { return err }

// TestAFilterNarrowsAList takes each filter in turn.
func TestAFilterNarrowsAList(t *testing.T) {
	v := New(Options{})
	doc := func(revision uint64, ns, runtime, name, rest string) api.Entry {
		return api.Entry{
			Key: api.DeploymentKey(ns, runtime, name), Revision: revision, Time: time.Now(),
			JSON: fmt.Appendf(nil, `{"name":%q,"namespace":%q,"provider":%q,%s}`, name, ns, runtime, rest),
		}
	}
	v.Apply("e", []api.Entry{
		doc(1, "ml", "kaito", "llama", `"phase":"Running","engine":"llamacpp","modelId":"meta/Llama-3"`),
		doc(2, "ml", "dynamo", "llama", `"phase":"Failed","engine":"vllm","modelId":"meta/Llama-3","message":"Back-off"`),
		doc(3, "dev", "kaito", "phi", `"phase":"Running","engine":"vllm","servedModelName":"Phi-4"`),
	}, true)
	for name, tc := range map[string]struct {
		q    Query
		want int
	}{
		"namespace": {Query{Namespace: "ml"}, 2}, "runtime": {Query{Runtime: "kaito"}, 2}, "phase": {Query{Phase: "Running"}, 2},
		"engine": {Query{Engine: "vllm"}, 2}, "name": {Query{Name: "llama"}, 2}, "both": {Query{Name: "llama", Runtime: "kaito"}, 1},
		"search model": {Query{Search: "LLAMA-3"}, 2}, "search served": {Query{Search: "phi-4"}, 1},
		"search message": {Query{Search: "back-OFF"}, 1}, "search namespace": {Query{Search: "dev"}, 1}, "none": {Query{Search: "zzz"}, 0},
	} {
		tc.q.Kind, tc.q.Sight = api.KindDeployments, api.Everything()
		page, err := v.List(tc.q)
		require.NoError(t, err, name)
		require.Len(t, page.Documents, tc.want, name)
		require.Equal(t, tc.want, page.Total, name)
	}
}

// TestASilentPublisherIsTold: what nobody keeps up to date must not look fresh.
func TestASilentPublisherIsTold(t *testing.T) {
	v := New(Options{})
	v.Apply("e", []api.Entry{
		{Key: api.SourcesKey(api.KindNodes), Revision: 1, Time: time.Now(), JSON: []byte(`{"synced":true}`)},
		{Key: api.PublisherKey(), Revision: 2, Time: time.Now().Add(-time.Minute), JSON: []byte(`{}`)},
	}, true)
	states, err := v.States(Scope{Sight: api.Everything()})
	require.NoError(t, err)
	require.Contains(t, states[api.KindNodes].Error, "up to date")
	v.Apply("e", []api.Entry{{Key: api.PublisherKey(), Revision: 3, Time: time.Now(), JSON: []byte(`{}`)}}, false)
	states, err = v.States(Scope{Sight: api.Everything()})
	require.NoError(t, err)
	require.Equal(t, api.KindState{Synced: true}, states[api.KindNodes])
	require.False(t, states[api.KindPods].Synced)
	require.NotEmpty(t, states[api.KindPods].Error)
}

// TestTombstonesAreBounded: a cluster that makes and deletes pods all day must not fill the memory.
func TestTombstonesAreBounded(t *testing.T) {
	v := New(Options{})
	v.Apply("e", nil, true)
	for i := range uint64(20_000) {
		k := api.PodKey("ns", fmt.Sprint("p", i))
		v.Apply("e", []api.Entry{{Key: k, Revision: 2*i + 1, Time: time.Now(), JSON: []byte(`{}`)}, {Key: k, Revision: 2*i + 2, Time: time.Now()}}, false)
	}
	_, tombstones := v.Size()
	require.LessOrEqual(t, tombstones, 5000)
	require.Less(t, len(v.current.log), 12_000)
	_, err := v.Resume(api.Cursor{Epoch: "e", Revision: 10}, api.Everything())
	require.EqualError(t, err, (&ResetError{api.ResetEventReasonTooOld}).Error())
}

// TestADeletionThatTheBucketForgotIsNotMissed: a was deleted at revision 5, and by now the bucket has dropped the tombstone. A
// reader who saw a at revision 4, on another replica, must not be served from here as if nothing had happened.
func TestADeletionThatTheBucketForgotIsNotMissed(t *testing.T) {
	v := New(Options{Retention: time.Hour})
	old, fresh := time.Now().Add(-3*time.Hour), time.Now()
	v.Apply("e", []api.Entry{
		{Key: api.NodeKey("b"), Revision: 4, Time: old, JSON: []byte(`{}`)},
		{Key: api.NodeKey("c"), Revision: 7, Time: fresh, JSON: []byte(`{}`)},
	}, true)
	_, err := v.Resume(api.Cursor{Epoch: "e", Revision: 4}, api.Everything())
	require.EqualError(t, err, (&ResetError{api.ResetEventReasonTooOld}).Error())
	_, err = v.Resume(api.Cursor{Epoch: "e", Revision: 6}, api.Everything())
	require.NoError(t, err)
}
