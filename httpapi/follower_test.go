package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/view"
)

// shortly is an interval that a test does not mind waiting for; patience is how long it waits for what has to come.
const (
	shortly  = 30 * time.Millisecond
	patience = 60 * time.Second
)

type key struct {
	kind api.Kind
	id   string
}

// follower is one client of the stream, read an event at a time.
type follower struct {
	t      testing.TB
	header http.Header
	reader *streamclient.Reader
	events []streamclient.Event
	held   map[key]json.RawMessage
	close  func()
}

// open connects with a query such as "?kinds=pods". Headers are given as name, value, name, value, …
func (c *cluster) open(t testing.TB, query string, header ...string) *follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+streamPath+query, http.NoBody)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := c.client.Do(r)
	require.NoError(t, err)
	f := &follower{t: t, header: response.Header, reader: streamclient.NewReader(response.Body, ""), held: map[key]json.RawMessage{}}
	f.close = func() { cancel(); response.Body.Close() }
	t.Cleanup(f.close)
	require.Equal(t, http.StatusOK, response.StatusCode)
	return f
}

// next is the next event, folded into what the follower holds.
func (f *follower) next() streamclient.Event {
	f.t.Helper()
	e, err := f.read()
	require.NoError(f.t, err)
	f.fold(e)
	return e
}

// read is the next event, which is not looked at yet.
func (f *follower) read() (streamclient.Event, error) {
	e, err := f.reader.Next()
	if err == nil {
		e.Data = bytes.Clone(e.Data)
		f.events = append(f.events, e)
	}
	return e, err
}

func (f *follower) fold(e streamclient.Event) {
	f.t.Helper()
	switch e.Type {
	case streamclient.EventReset:
		clear(f.held)
	case streamclient.EventChanges:
		for _, change := range f.changes(e) {
			if change.Op == api.ChangeOpDelete {
				delete(f.held, key{change.Kind, change.Id})
			} else {
				f.held[key{change.Kind, change.Id}] = change.Doc
			}
		}
	}
}

// until reads on to the next event of a type.
func (f *follower) until(kind string) streamclient.Event {
	f.t.Helper()
	for {
		if e := f.next(); e.Type == kind {
			return e
		}
	}
}

// untilHeld reads on until the follower holds a document that the test looks for.
func (f *follower) untilHeld(kind api.Kind, id string, is func(json.RawMessage) bool) {
	f.t.Helper()
	for {
		doc, ok := f.held[key{kind, id}]
		if ok && is(doc) {
			return
		}
		f.next()
	}
}

func (f *follower) changes(e streamclient.Event) []api.Change {
	f.t.Helper()
	changes, err := e.Changes()
	require.NoError(f.t, err)
	return changes
}

func (f *follower) documents() map[key]json.RawMessage { return f.held }

// types is the types of the events so far, with runs of one type told once.
func (f *follower) types() (types []string) {
	for _, e := range f.events {
		if len(types) == 0 || types[len(types)-1] != e.Type {
			types = append(types, e.Type)
		}
	}
	return types
}

// everything is what the view has in a scope: what a list of each kind returns.
func (c *cluster) everything(t require.TestingT, scope view.Scope) map[key]json.RawMessage {
	scope.Sight = api.Everything()
	reader, err := c.view.Snapshot(scope.Sight)
	require.NoError(t, err)
	batch, err := c.view.Changes(reader, scope, 1<<30, 1<<40)
	require.NoError(t, err)
	all := map[key]json.RawMessage{}
	for _, e := range batch.Entries {
		all[key{e.Key.Kind, e.Key.ID}] = e.JSON
	}
	return all
}
