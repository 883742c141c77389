package watch

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	resultPut       = "put"
	resultDelete    = "delete"
	resultUnchanged = "unchanged"
)

// shelf holds the documents as they were last published, and publishes what differs.
type shelf struct {
	publisher Publisher
	metrics   *metrics
	now       func() time.Time

	mu   sync.RWMutex
	docs map[api.Key]item
}

// item is a published document. Its bytes are shared with everyone who got them.
type item struct {
	json    []byte
	updated time.Time // deployments: their updatedAt
}

func newShelf(publisher Publisher, m *metrics) *shelf {
	return &shelf{publisher: publisher, metrics: m, now: time.Now, docs: map[api.Key]item{}}
}

// put publishes a document unless it is as before. It returns the bytes before, nil where there were none, and those now.
func (s *shelf) put(key api.Key, doc any, c cause, log *zap.Logger) (before, after []byte, changed bool) {
	s.mu.RLock()
	old := s.docs[key]
	s.mu.RUnlock()
	next, err := s.encode(doc, old)
	if err != nil { // a document is plain data: this is a NaN or an invalid time in an object, and no reason to stop
		log.Error("document cannot be encoded", zap.String("key", key.String()), zap.Error(err))
		return nil, nil, false
	}
	if bytes.Equal(next.json, old.json) {
		s.metrics.published(key.Kind, resultUnchanged, c)
		return nil, nil, false
	}
	s.mu.Lock()
	s.docs[key] = next
	s.mu.Unlock()
	s.publisher.Put(api.Document{Key: key, JSON: next.json}, c.received)
	if old.json == nil {
		s.metrics.documents.WithLabelValues(string(key.Kind)).Inc()
	}
	s.metrics.published(key.Kind, resultPut, c)
	return old.json, next.json, true
}

// encode gives a deployment the time of its last change. That time must not make a change by itself, so the document is
// first encoded with the time it had, and again only if anything else differs.
func (s *shelf) encode(doc any, old item) (item, error) {
	deployment, ok := doc.(*api.Deployment)
	if !ok {
		out, err := json.Marshal(doc)
		return item{json: out}, err
	}
	next := item{updated: old.updated}
	if old.json == nil {
		next.updated = lastTransition(deployment)
	}
	deployment.UpdatedAt = next.updated
	out, err := json.Marshal(deployment)
	if err == nil && old.json != nil && !bytes.Equal(out, old.json) {
		next.updated = s.now().UTC().Truncate(time.Millisecond)
		deployment.UpdatedAt = next.updated
		out, err = json.Marshal(deployment)
	}
	next.json = out
	return next, err
}

// lastTransition is when a deployment that was never seen before last changed, by its own account: a restart of this
// process is no change.
func lastTransition(deployment *api.Deployment) time.Time {
	last := deployment.CreatedAt
	for _, condition := range deployment.Conditions {
		if at, err := time.Parse(time.RFC3339, condition.LastTransitionTime); err == nil && at.After(last) {
			last = at
		}
	}
	return last.UTC().Truncate(time.Millisecond)
}

// remove publishes that a document is gone. It returns the bytes before, nil where there were none.
func (s *shelf) remove(key api.Key, c cause) (before []byte) {
	s.mu.Lock()
	old, ok := s.docs[key]
	delete(s.docs, key)
	s.mu.Unlock()
	if !ok {
		return nil
	}
	s.publisher.Delete(key, c.received)
	s.metrics.documents.WithLabelValues(string(key.Kind)).Dec()
	s.metrics.published(key.Kind, resultDelete, c)
	return old.json
}

// keys returns the keys of a kind's documents; of one namespace, if that is not empty.
func (s *shelf) keys(kind api.Kind, namespace string) []api.Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []api.Key
	for key := range s.docs {
		if key.Kind == kind && (namespace == "" || key.Namespace == namespace) {
			out = append(out, key)
		}
	}
	return out
}
