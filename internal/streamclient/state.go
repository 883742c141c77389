package streamclient

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// Document is a document as a client holds it.
type Document struct {
	Kind api.Kind
	ID   string
	JSON json.RawMessage
}

type key struct {
	kind api.Kind
	id   string
}

// State is what a client holds: the documents by kind and id. While a snapshot replaces them, it goes on showing the
// former ones until the new ones are complete; before the first is complete it shows what there is of it.
type State struct {
	mu sync.RWMutex
	// documents is what is shown. Guarded by mu, as is everything below.
	documents map[key]json.RawMessage
	// snapshot is what arrived of a snapshot that is not complete, nil where none is on its way.
	snapshot map[key]json.RawMessage
	cursor   string
	kinds    map[string]api.KindState
	proven   time.Time
	resets   int
}

// NewState returns a state that holds nothing.
func NewState() *State {
	return &State{documents: map[key]json.RawMessage{}, kinds: map[string]api.KindState{}}
}

// Put adds a document of a list whose cursor the stream goes on from.
func (s *State) Put(kind api.Kind, id string, doc json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.documents[key{kind, id}] = doc
}

// begin prepares for a connection that goes on from a cursor: without one, a snapshot comes.
func (s *State) begin(cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cursor == "" {
		s.snapshot = map[key]json.RawMessage{}
	} else {
		s.snapshot = nil
	}
	s.cursor = cursor
}

// Apply takes an event in. Unknown types change nothing. An error means that the event cannot be understood, and that
// nothing of it was taken in.
func (s *State) Apply(event Event) error {
	switch event.Type {
	case EventReset:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.snapshot = map[key]json.RawMessage{}
		s.resets++
	case EventChanges:
		changes, err := event.Changes()
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		into := s.documents
		if s.snapshot != nil {
			into = s.snapshot
		}
		for _, change := range changes {
			if change.Op == api.ChangeOpDelete {
				delete(into, key{change.Kind, change.Id})
			} else {
				into[key{change.Kind, change.Id}] = change.Doc
			}
		}
	case EventSynced:
		data, err := event.Synced()
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.snapshot != nil {
			s.documents, s.snapshot = s.snapshot, nil
		}
		s.kinds = data.Kinds
		s.proven = time.Now()
	case EventBookmark:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.proven = time.Now()
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	s.cursor = event.Cursor
	return nil
}

// Cursor is where the state stands, empty where it stands nowhere.
func (s *State) Cursor() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cursor
}

// Proven is when the server last confirmed that the state equals a list: the time of the last `synced` or `bookmark`.
func (s *State) Proven() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.proven
}

// Complete tells whether all that the server has is here: a snapshot was received to its end and none is on its way.
func (s *State) Complete() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.snapshot == nil && !s.proven.IsZero()
}

// Resets counts how often the server made the client start over, the first snapshot included.
func (s *State) Resets() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.resets
}

// Kinds is what the server last said of each kind.
func (s *State) Kinds() map[string]api.KindState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.kinds)
}

// Get returns a document.
func (s *State) Get(kind api.Kind, id string) (json.RawMessage, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	doc, ok := s.shown()[key{kind, id}]
	return doc, ok
}

// Documents returns all documents, ordered by kind and id. The documents themselves must not be changed.
func (s *State) Documents() []Document {
	s.mu.RLock()
	shown := s.shown()
	documents := make([]Document, 0, len(shown))
	for key, doc := range shown {
		documents = append(documents, Document{Kind: key.kind, ID: key.id, JSON: doc})
	}
	s.mu.RUnlock()
	slices.SortFunc(documents, func(a, b Document) int {
		if a.Kind != b.Kind {
			return strings.Compare(string(a.Kind), string(b.Kind))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return documents
}

func (s *State) shown() map[key]json.RawMessage {
	if s.snapshot != nil && s.proven.IsZero() && len(s.documents) == 0 {
		return s.snapshot
	}
	return s.documents
}
