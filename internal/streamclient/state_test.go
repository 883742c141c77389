package streamclient_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

func event(kind, cursor, data string) streamclient.Event {
	return streamclient.Event{Type: kind, Cursor: cursor, Data: []byte(data)}
}

func put(id, doc string) string {
	return `{"op":"put","kind":"deployments","id":"` + id + `","doc":` + doc + `}`
}

func changes(cursor string, list ...string) streamclient.Event {
	text := ""
	for i, change := range list {
		if i > 0 {
			text += ","
		}
		text += change
	}
	return event("changes", cursor, `{"changes":[`+text+`]}`)
}

func remove(id string) string { return `{"op":"delete","kind":"deployments","id":"` + id + `"}` }

func held(s *streamclient.State) map[string]string {
	documents := map[string]string{}
	for _, d := range s.Documents() {
		documents[d.ID] = string(d.JSON)
	}
	return documents
}

func apply(t require.TestingT, s *streamclient.State, events ...streamclient.Event) {
	for _, e := range events {
		require.NoError(t, s.Apply(e))
	}
}

func TestFirstSnapshotShowsAsItComes(t *testing.T) {
	s := streamclient.NewState()
	apply(t, s, event("reset", "", `{"reason":"start"}`), changes("", put("a", `{"v":1}`)))
	assert.Equal(t, map[string]string{"a": `{"v":1}`}, held(s))
	assert.False(t, s.Complete())
	apply(t, s, event("synced", "e-1", `{"kinds":{"deployments":{"synced":true,"count":1}}}`))
	assert.True(t, s.Complete())
	assert.Equal(t, "e-1", s.Cursor())
	assert.Equal(t, map[string]api.KindState{"deployments": {Synced: true, Count: 1}}, s.Kinds())
	assert.Equal(t, 1, s.Resets())
}

func TestALaterSnapshotReplacesWithoutAHole(t *testing.T) {
	s := streamclient.NewState()
	apply(t, s,
		event("reset", "", `{"reason":"start"}`), changes("", put("a", `1`), put("b", `1`)), event("synced", "e-1", `{"kinds":{}}`),
		event("reset", "", `{"reason":"new-epoch"}`), changes("", put("b", `2`)))
	assert.Equal(t, map[string]string{"a": `1`, "b": `1`}, held(s), "the former ones until the new ones are complete")
	apply(t, s, event("synced", "f-1", `{"kinds":{}}`))
	assert.Equal(t, map[string]string{"b": `2`}, held(s))
}

func TestWhatCannotBeUnderstoodChangesNothing(t *testing.T) {
	s := streamclient.NewState()
	apply(t, s, changes("e-1", put("a", `1`)), event("party", "e-2", `hello`))
	assert.Equal(t, "e-2", s.Cursor())
	for _, bad := range []streamclient.Event{event("changes", "e-3", `{"changes":[`), event("synced", "e-3", `[]`)} {
		require.Error(t, s.Apply(bad))
	}
	assert.Equal(t, "e-2", s.Cursor())
	assert.Equal(t, map[string]string{"a": `1`}, held(s))
}

func TestAListGoesOnAsAStream(t *testing.T) {
	s := streamclient.NewState()
	s.Put(api.KindDeployments, "a", json.RawMessage(`1`))
	s.Put(api.KindDeployments, "b", json.RawMessage(`1`))
	apply(t, s, changes("e-5", remove("a")), event("bookmark", "e-6", `{}`))
	assert.Equal(t, map[string]string{"b": `1`}, held(s))
	doc, ok := s.Get(api.KindDeployments, "b")
	assert.True(t, ok)
	assert.JSONEq(t, `1`, string(doc))
}

// TestStateEqualsTheServerAtEverySynced plays a server that changes, forgets and starts over at will.
func TestStateEqualsTheServerAtEverySynced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		server, s := map[string]string{}, streamclient.NewState()
		revision := 0
		cursor := func() string { revision++; return "e-" + strconv.Itoa(revision) }
		snapshot := func() {
			apply(t, s, event("reset", "", `{"reason":"start"}`))
			for id, doc := range server {
				apply(t, s, changes("", put(id, doc)))
			}
			apply(t, s, event("synced", cursor(), `{"kinds":{}}`))
		}
		snapshot()
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				delete(server, id)
				apply(t, s, changes(cursor(), remove(id)))
			case 1:
				snapshot()
			case 2: // a snapshot that breaks off
				apply(t, s, event("reset", "", `{"reason":"too-old"}`), changes("", put("stray", `0`)))
				snapshot()
			default:
				server[id] = strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "doc"))
				apply(t, s, changes(cursor(), put(id, server[id])))
			}
			assert.Equal(t, server, held(s))
		}
	})
}
