package httpapi

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"

	sse "github.com/r3labs/sse/v2"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// A frame is one `changes` event: at most maxFrameEntries documents of about maxFrameBytes in all, so that a slow
// connection is never far inside one event, and one document of any size is never cut. The SSE library prints an event with
// package fmt, which keeps buffers of up to 64 KiB: a frame with what is around its documents stays below, or each one
// sent would be copied into a new buffer.
const (
	maxFrameEntries = 512
	maxFrameBytes   = 40 << 10
)

// frame is what a reader has to be sent next. It is shared and never changed.
type frame struct {
	event  *sse.Event // `changes`; nil where nothing changed
	next   view.Reader
	more   bool
	states map[api.Kind]api.KindState
}

// frames renders them. Readers that stand at the same place with the same scope share one, for as long as a pulse lasts.
//
// A shared frame must not hide a change from the reader who takes it. A reader takes the channel of the next beat before it
// asks for a frame, and a beat comes after forget: so whatever a frame lacks that was rendered since the last forget wakes
// the reader again. One that was begun before is not kept.
type frames struct {
	view *view.View

	mu     sync.Mutex
	shared map[frameKey]frame
	bytes  int
	round  uint64    // how often everything was forgotten
	since  time.Time // when it was, last
}

type frameKey struct {
	scope  string
	reader view.Reader
}

const (
	// maxSharedBytes bounds what is kept between two pulses; beyond it, frames are rendered for each reader.
	maxSharedBytes = 8 << 20
	// maxSharedAge bounds how long, where nothing changes: that a publisher is silent shows by time alone.
	maxSharedAge = time.Second
)

func newFrames(v *view.View) *frames { return &frames{view: v, shared: map[frameKey]frame{}} }

// forget drops what was rendered before the view changed.
func (f *frames) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clear(time.Now())
}

// clear is called with mu held.
func (f *frames) clear(now time.Time) {
	clear(f.shared)
	f.bytes, f.since = 0, now
	f.round++
}

// find returns a frame that was kept, and the round in which it looked.
func (f *frames) find(key frameKey) (fr frame, round uint64, ok bool) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) > maxSharedAge {
		f.clear(now)
	}
	fr, ok = f.shared[key]
	return fr, f.round, ok
}

// keep shares a frame that was rendered after round was found.
func (f *frames) keep(key frameKey, fr frame, round uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, kept := f.shared[key]; kept || f.round != round || f.bytes+len(fr.event.Data) > maxSharedBytes {
		return
	}
	f.shared[key] = fr
	f.bytes += len(fr.event.Data)
}

// after is the frame that follows a reader. hit tells that it was rendered for another one.
func (f *frames) after(r view.Reader, scope view.Scope, scopeName string) (_ frame, hit bool, err error) {
	key := frameKey{scopeName, r}
	fr, round, hit := f.find(key)
	if hit {
		return fr, true, nil
	}
	batch, err := f.view.Changes(r, scope, maxFrameEntries, maxFrameBytes)
	if err != nil {
		return frame{}, false, err
	}
	fr = frame{next: batch.Next, more: batch.More, states: batch.States}
	if len(batch.Entries) == 0 {
		return fr, false, nil
	}
	fr.event = &sse.Event{ID: eventID(fr.next), Event: []byte("changes"), Data: appendChanges(nil, batch.Entries)}
	f.keep(key, fr, round)
	return fr, false, nil
}

// eventID is the cursor of what a client holds; empty while it holds a part of a snapshot, which nobody can resume.
func eventID(r view.Reader) []byte {
	if r.Snapshotting() {
		return nil
	}
	return r.Cursor.Append(make([]byte, 0, 32))
}

// appendChanges appends an api.ChangesEvent. Documents are appended as they were stored.
func appendChanges(b []byte, entries []*api.Entry) []byte {
	size := 16
	for _, e := range entries {
		size += len(e.JSON) + len(e.Key.ID) + 64
	}
	b = append(make([]byte, 0, len(b)+size), b...)
	b = append(b, `{"changes":[`...)
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		op := api.ChangeOpPut
		if e.Deleted() {
			op = api.ChangeOpDelete
		}
		b = append(append(append(b, `{"op":"`...), op...), `","kind":"`...)
		b = append(append(b, e.Key.Kind...), `","id":`...)
		b = appendText(b, e.Key.ID)
		if !e.Deleted() {
			b = append(append(b, `,"doc":`...), e.JSON...)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // cannot fail for a string
			return append(b, quoted...)
		}
	}
	return strconv.AppendQuote(b, s)
}
