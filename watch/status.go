package watch

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// status is what is known of a source. It follows the calls that its informer makes, for an informer reports what went
// wrong but not that it went right again.
type status struct {
	log     *zap.Logger
	now     func() time.Time
	changed func() // called without the lock after every change that a reader can see

	mu     sync.Mutex
	source api.Source
	listed bool // everything was listed once since start
	final  bool // the error is the API server's own answer, not a failure to reach it
}

func newStatus(source api.Source, log *zap.Logger, changed func()) *status {
	source.State = api.SourceStateStarting
	log = log.With(zap.String("resource", source.Resource))
	if source.Namespace != "" {
		log = log.With(zap.String("namespace", source.Namespace))
	}
	return &status{log: log, now: time.Now, changed: changed, source: source}
}

// started forgets the past: an informer on this version has nothing yet.
func (s *status) started(version string) {
	s.update(func() {
		s.listed, s.final = false, false
		s.source.State, s.source.Version = api.SourceStateStarting, version
		s.clearLocked()
	})
}

// absent says that the cluster does not serve the resource.
func (s *status) absent() {
	s.update(func() {
		s.listed, s.final = false, false
		s.source.State, s.source.Version = api.SourceStateAbsent, ""
		s.clearLocked()
	})
}

// filled says that all objects are in the store and were handed to the handler.
func (s *status) filled() {
	s.update(func() {
		s.listed, s.final = true, false
		s.source.State = api.SourceStateSynced
		s.clearLocked()
	})
}

// answered says that a list or a watch went right.
func (s *status) answered() {
	s.update(func() {
		s.final = false
		s.clearLocked()
		s.source.State = api.SourceStateStarting
		if s.listed {
			s.source.State = api.SourceStateSynced
		}
	})
}

// failed says that a list or a watch went wrong. `final` errors are answers: trying again does not help by itself.
func (s *status) failed(message string, final bool) {
	s.update(func() {
		if s.source.Error == "" {
			s.source.Since = s.now().UTC().Truncate(time.Millisecond)
		}
		s.source.Error, s.final = message, final
		s.source.State = api.SourceStateFailed
		if s.listed {
			s.source.State = api.SourceStateStale
		}
	})
}

func (s *status) clearLocked() { s.source.Error, s.source.Since = "", time.Time{} }

func (s *status) update(change func()) {
	s.mu.Lock()
	before := s.source
	change()
	after := s.source
	s.mu.Unlock()
	if before == after {
		return
	}
	if before.State != after.State {
		s.logState(after)
	}
	s.changed()
}

func (s *status) logState(source api.Source) {
	fields := []zap.Field{zap.String("state", string(source.State))}
	if source.Version != "" {
		fields = append(fields, zap.String("version", source.Version))
	}
	if source.Error != "" {
		s.log.Warn("source", append(fields, zap.String("error", source.Error))...)
		return
	}
	s.log.Info("source", fields...)
}

// document is what a reader is told.
func (s *status) document() api.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source
}

// blocked tells whether nothing was ever listed and the API server says that nothing may be.
func (s *status) blocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.State == api.SourceStateFailed && s.final
}
