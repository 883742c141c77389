package watch

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

// recorder is a Publisher that remembers everything.
type recorder struct {
	mu     sync.Mutex
	docs   map[api.Key][]byte
	log    []string
	puts   map[api.Key]int
	events []api.Event
}

func newRecorder() *recorder {
	return &recorder{docs: map[api.Key][]byte{}, puts: map[api.Key]int{}}
}

func (r *recorder) Put(doc api.Document, received time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if received.IsZero() {
		panic("no time of receipt: " + doc.Key.String())
	}
	r.docs[doc.Key] = doc.JSON
	r.puts[doc.Key]++
	line := "put " + string(doc.Key.Kind) + " " + doc.Key.ID
	if doc.Key.Kind == api.KindSources {
		line += fmt.Sprintf(" synced=%v", strings.HasPrefix(string(doc.JSON), `{"synced":true`))
	}
	r.log = append(r.log, line)
}

func (r *recorder) Delete(key api.Key, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.docs, key)
	r.log = append(r.log, "delete "+string(key.Kind)+" "+key.ID)
}

func (r *recorder) Settle(kind api.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, "settle "+string(kind))
}

func (r *recorder) Emit(event api.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

func (r *recorder) snapshot() map[api.Key][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.docs)
}

func (r *recorder) history() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.log...)
}

func (r *recorder) count(key api.Key) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.puts[key]
}

func (r *recorder) happened(key api.Key, change api.EventChange) (api.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events {
		if event.Key == key && event.Change == change {
			return event, true
		}
	}
	return api.Event{}, false
}

// read decodes a document, false where there is none.
func read[T any](t *testing.T, r *recorder, key api.Key) (out T, ok bool) {
	t.Helper()
	r.mu.Lock()
	raw := r.docs[key]
	r.mu.Unlock()
	if raw == nil {
		return out, false
	}
	require.NoError(t, json.Unmarshal(raw, &out))
	return out, true
}

const soon = 20 * time.Second

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, soon, 5*time.Millisecond, what)
}

// awaits waits until a document is as wanted and returns it.
func awaits[T any](t *testing.T, r *recorder, key api.Key, want func(T) bool) T {
	t.Helper()
	var last T
	deadline := time.Now().Add(soon)
	for time.Now().Before(deadline) {
		if doc, ok := read[T](t, r, key); ok {
			if last = doc; want(doc) {
				return doc
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	raw, err := json.MarshalIndent(last, "", "  ")
	require.NoError(t, err)
	require.Failf(t, "document is not as wanted", "%s: %s", key, raw)
	return last
}

func (r *recorder) gone(t *testing.T, key api.Key) {
	t.Helper()
	eventually(t, key.String()+" goes", func() bool {
		_, ok := r.snapshot()[key]
		return !ok
	})
}

// synced waits until kinds are.
func (r *recorder) synced(t *testing.T, kinds ...api.Kind) {
	t.Helper()
	for _, kind := range kinds {
		awaits(t, r, api.SourcesKey(kind), func(s api.KindState) bool { return s.Synced })
	}
}

// quiet waits until nothing was published for a while.
func (r *recorder) quiet(t *testing.T) {
	t.Helper()
	last := -1
	eventually(t, "publishing calms down", func() bool {
		before := last
		last = len(r.history())
		time.Sleep(300 * time.Millisecond)
		return before == last
	})
}

// awaitsLong waits for a kind through the longest pause between two attempts.
func (r *recorder) awaitsLong(t *testing.T, kind api.Kind) {
	t.Helper()
	require.Eventually(t, func() bool {
		state, ok := read[api.KindState](t, r, api.SourcesKey(kind))
		return ok && state.Synced
	}, 2*longestPause, 20*time.Millisecond, "%s is synced", kind)
}
