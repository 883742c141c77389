package bus

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/kubefoundry/kubefoundry/api"
)

// model is the simplest Sink: a map for each epoch. It notes where the follower breaks the Sink's contract.
type model struct {
	mu       sync.Mutex
	epoch    string // the newest
	entries  map[api.Key]api.Entry
	revision uint64
	complete bool

	serving  string // the epoch that readers see
	served   map[api.Key]api.Entry
	epochs   int // completed
	faults   []string
	seen     map[string]bool
	required []api.Key // must be in every epoch when it is completed
	stall    chan struct{}
	onEntry  func(api.Entry) // called with mu held
}

func newModel() *model { return &model{seen: map[string]bool{}} }

func (m *model) Apply(epoch string, entries []api.Entry, complete bool) {
	m.mu.Lock()
	stall := m.stall
	m.mu.Unlock()
	if stall != nil {
		<-stall
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := api.ParseCursor(epoch + "-1"); err != nil {
		m.fault("epoch %q: %v", epoch, err)
	}
	if epoch != m.epoch {
		if m.seen[epoch] {
			m.fault("epoch %s came back", epoch)
		}
		m.seen[epoch] = true
		m.epoch, m.entries, m.revision, m.complete = epoch, map[api.Key]api.Entry{}, 0, false
	}
	if m.complete && !complete {
		m.fault("epoch %s is complete no more", epoch)
	}
	for _, e := range entries {
		if e.Revision <= m.revision {
			m.fault("epoch %s: revision %d of %s after %d", epoch, e.Revision, e.Key, m.revision)
		}
		m.revision = e.Revision
		m.entries[e.Key] = e
		if m.onEntry != nil {
			m.onEntry(e)
		}
	}
	if complete && !m.complete {
		m.complete = true
		m.epochs++
		m.serving, m.served = epoch, m.entries
		for _, key := range append([]api.Key{api.PublisherKey()}, m.required...) {
			if e, ok := m.entries[key]; !ok || e.Deleted() {
				m.fault("epoch %s was completed without %s", epoch, key)
				break
			}
		}
	}
}

func (m *model) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

func (m *model) Position() (string, uint64, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch, m.revision, len(m.entries)
}

// documents are what readers see, but for the publisher's own.
func (m *model) documents() map[api.Key]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	docs := map[api.Key]string{}
	for key, e := range m.served {
		if !e.Deleted() && key.Kind != api.KindPublisher {
			docs[key] = string(e.JSON)
		}
	}
	return docs
}

func (m *model) servingEpoch() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serving
}

func (m *model) broken() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.faults...)
}

// difference says how what readers see differs from want, empty if it does not.
func (m *model) difference(want map[api.Key]string) string {
	have := m.documents()
	if maps.Equal(have, want) {
		return ""
	}
	for key, doc := range want {
		if have[key] != doc {
			return fmt.Sprintf("%s is %q, want %q (%d of %d documents)", key, have[key], doc, len(have), len(want))
		}
	}
	for key, doc := range have {
		if _, ok := want[key]; !ok {
			return fmt.Sprintf("%s is %q, want nothing", key, doc)
		}
	}
	return "?"
}

func (m *model) eventually(t testing.TB, want map[api.Key]string, bound time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool { return m.difference(want) == "" }, bound, 2*time.Millisecond,
		"not equal after %v: %v", bound, lazy(func() string { return m.difference(want) }))
	require.Empty(t, m.broken())
}

type lazy func() string

func (l lazy) String() string { return l() }

func testLog(t testing.TB) *zap.Logger {
	return zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
}

func pod(i int) api.Key { return api.PodKey("ml", fmt.Sprintf("p%d", i)) }

func doc(key api.Key, json string) api.Document {
	return api.Document{Key: key, JSON: []byte(json)}
}
