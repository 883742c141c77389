package watch

import (
	"slices"
	"strings"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// progress is how far a kind has come.
type progress struct {
	// opened says that everything that can be had was published once. From then on changes are events.
	opened bool
	// settled says that everything the cluster has was published, and the publisher told so.
	settled bool
}

func (w *Watcher) progressOf(kind api.Kind) progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress[kind]
}

// resolve lets documents be made of a source, and then waits for all of them before the kinds count as settled. mark
// changes the source's status; it may be nil.
func (w *Watcher) resolve(s *source, mark func()) {
	s.ready.Store(false)
	s.resolved.Store(true)
	c := cause{received: time.Now(), initial: true}
	for _, kind := range s.kinds {
		w.requeue(kind, s.namespace, c)
	}
	if mark != nil {
		mark()
	}
	s.ready.Store(true)
	for _, kind := range s.kinds {
		w.review(kind)
	}
}

// unsettle is called before a source starts over.
func (w *Watcher) unsettle(s *source) {
	for _, kind := range s.kinds {
		w.queue.lift(kind)
		w.mu.Lock()
		p := w.progress[kind]
		p.settled = false
		w.progress[kind] = p
		w.mu.Unlock()
		w.queue.add(api.SourcesKey(kind), cause{received: time.Now()})
	}
}

// review waits for the documents of a kind that is not settled, once all its sources have said what they can.
func (w *Watcher) review(kind api.Kind) {
	if w.progressOf(kind).settled || !w.ready(kind) {
		return
	}
	w.queue.barrier(kind, func() { w.drained(kind) })
}

// drained runs when every document of a kind was published.
func (w *Watcher) drained(kind api.Kind) {
	ready, complete := w.ready(kind), w.complete(kind)
	if ready && complete {
		w.options.Publisher.Settle(kind)
	}
	w.mu.Lock()
	p := w.progress[kind]
	p.opened = p.opened || ready
	p.settled = p.settled || ready && complete
	w.progress[kind] = p
	w.mu.Unlock()
	w.queue.add(api.SourcesKey(kind), cause{received: time.Now()})
}

func (w *Watcher) ready(kind api.Kind) bool {
	return !slices.ContainsFunc(w.sources[kind], func(s *source) bool { return !s.ready.Load() })
}

// complete tells whether nothing that documents of the kind need is missing.
func (w *Watcher) complete(kind api.Kind) bool {
	return !slices.ContainsFunc(w.sources[kind], func(s *source) bool { return !s.optional && !s.well() })
}

// state is the document of KindSources: api.KindState without the count, which depends on who asks.
type state struct {
	Synced  bool         `json:"synced"`
	Error   string       `json:"error,omitempty"`
	Sources []api.Source `json:"sources,omitempty"`
}

func (w *Watcher) state(kind api.Kind) state {
	out := state{Synced: w.progressOf(kind).settled}
	var errors []string
	for _, s := range w.sources[kind] {
		doc := s.document()
		out.Sources = append(out.Sources, doc)
		out.Synced = out.Synced && (s.optional || s.well())
		if doc.Error != "" && !slices.Contains(errors, doc.Error) {
			errors = append(errors, doc.Error)
		}
	}
	if note := w.limited(kind); note != "" {
		errors = append(errors, note)
	}
	out.Error = strings.Join(errors, "; ")
	return out
}

// limited says what an installation in some namespaces cannot know.
func (w *Watcher) limited(kind api.Kind) string {
	counts := kind == api.KindNodes || kind == api.KindPools || kind == api.KindCapacity
	if len(w.options.Namespaces) == 0 || !counts {
		return ""
	}
	return "GPUs that pods outside of the namespaces " + strings.Join(w.options.Namespaces, ", ") + " hold are not counted"
}
