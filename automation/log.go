package automation

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// event is one as it was sent on the bus.
type event struct {
	sequence uint64
	cell     api.Cell
	subject  string
	body     []byte
	at       time.Time
}

// position is how far the events were read.
type position struct {
	epoch    string
	sequence uint64
}

// eventLog holds the events that the server's stream holds, once for all accounts. As with the view, a reader is only a
// position.
type eventLog struct {
	maxAge   time.Duration
	maxBytes int64

	mu     sync.RWMutex
	epoch  string
	events []event // by sequence
	bytes  int64
	wake   chan struct{}
}

func newEventLog(maxAge time.Duration, maxBytes int64) *eventLog {
	return &eventLog{maxAge: maxAge, maxBytes: maxBytes, wake: make(chan struct{})}
}

// cellOf is where the document of an event lies, from the event's subject.
func cellOf(subject string) (cell api.Cell, ok bool) {
	rest, ok := strings.CutPrefix(subject, eventsPrefix)
	end := strings.LastIndexByte(rest, '.')
	if !ok || end < 0 {
		return api.Cell{}, false
	}
	key, err := api.ParseKey(rest[:end])
	return key.Cell(), err == nil && slices.Contains(api.Kinds(), key.Kind)
}

// take adds an event. What nobody may see is left out: internal kinds, and what is none of ours.
func (l *eventLog) take(epoch string, sequence uint64, subject string, body []byte, at time.Time) {
	cell, ok := cellOf(subject)
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch != l.epoch {
		l.epoch, l.events, l.bytes = epoch, nil, 0
	}
	if !ok {
		return
	}
	l.events = append(l.events, event{sequence, cell, subject, body, at})
	l.bytes += int64(len(subject) + len(body))
	over, oldest := 0, time.Now().Add(-l.maxAge)
	for over < len(l.events)-1 && (l.bytes > l.maxBytes || l.events[over].at.Before(oldest)) {
		l.bytes -= int64(len(l.events[over].subject) + len(l.events[over].body))
		l.events[over] = event{}
		over++
	}
	l.events = l.events[over:]
	close(l.wake)
	l.wake = make(chan struct{})
}

// wait returns a channel that is closed at the next event. It is taken before reading.
func (l *eventLog) wait() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wake
}

// since is up to limit of the events behind a position, and the position behind them. A position of another epoch stands before
// all.
func (l *eventLog) since(p position, limit int) (events []event, next position, more bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p.epoch != l.epoch {
		p = position{epoch: l.epoch}
	}
	oldest := time.Now().Add(-l.maxAge)
	from, _ := slices.BinarySearchFunc(l.events, p.sequence+1, func(e event, sequence uint64) int {
		switch {
		case e.sequence < sequence:
			return -1
		case e.sequence > sequence:
			return 1
		}
		return 0
	})
	for from < len(l.events) && l.events[from].at.Before(oldest) {
		from++
	}
	events = slices.Clone(l.events[from:min(len(l.events), from+limit)])
	if len(events) > 0 {
		p.sequence = events[len(events)-1].sequence
	}
	return events, p, from+len(events) < len(l.events)
}
