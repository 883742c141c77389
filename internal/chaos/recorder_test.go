package chaos

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/view"
)

// recorder stands between the follower and the view, and remembers every entry that passes. From that it tells what the
// documents were at any cursor, knowing nothing of how the view or the stream work.
type recorder struct {
	*view.View

	mu      sync.Mutex
	history map[string][]api.Entry
}

func newRecorder(v *view.View) *recorder {
	return &recorder{View: v, history: map[string][]api.Entry{}}
}

// Apply implements bus.Sink.
func (r *recorder) Apply(epoch string, entries []api.Entry, complete bool) {
	r.mu.Lock()
	r.history[epoch] = append(r.history[epoch], slices.Clone(entries)...)
	r.mu.Unlock()
	r.View.Apply(epoch, entries, complete)
}

// at is the documents of a scope at a cursor.
func (r *recorder) at(c api.Cursor, scope view.Scope) []streamclient.Document {
	r.mu.Lock()
	defer r.mu.Unlock()
	documents := map[api.Key][]byte{}
	for _, e := range r.history[c.Epoch] {
		if e.Revision > c.Revision || !scope.Includes(e.Key.Cell()) {
			continue
		}
		if e.Deleted() {
			delete(documents, e.Key)
		} else {
			documents[e.Key] = e.JSON
		}
	}
	state := streamclient.NewState()
	for k, doc := range documents {
		state.Put(k.Kind, k.ID, json.RawMessage(doc))
	}
	return state.Documents()
}
