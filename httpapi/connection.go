package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	sse "github.com/r3labs/sse/v2"
)

// credits is how many events a connection may have between the pump and the socket. The library queues up to 64 for each
// connection; holding events back until earlier ones are written keeps a reader that stalls from pinning them all.
const credits = 2

// connection is one client of the stream: a private stream of the SSE library with one subscriber. Sharing a library stream
// would let one stalled client stop all of them (r3labs/sse: the fan-out blocks on each subscriber in turn).
type connection struct {
	server *sse.Server
	stream *sse.Stream
	writer *deadlineWriter
	ctx    context.Context

	published uint64 // events so far
}

func newSSE() *sse.Server {
	s := sse.New()
	s.AutoReplay = false // it would overwrite our ids and keep every event for ever
	s.BufferSize = 1     // the default of 1024 costs 9 KiB for each connection
	return s
}

// serveEvents runs pump on a response until it returns or ctx ends, and tells whether the client stalled. When hurry ends,
// what is still to be written has no more time.
//
// The order of the teardown matters. The library ends a subscriber by a goroutine that waits for the request's context and
// then hands the subscriber to the stream's goroutine: a stream that was removed before that leaves it waiting for ever.
func serveEvents(ctx, hurry context.Context, server *sse.Server, name string, deadline time.Duration, w http.ResponseWriter, pump func(*connection)) (stalled bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &connection{server: server, stream: server.CreateStream(name), ctx: ctx}
	c.writer = &deadlineWriter{ResponseWriter: w, control: http.NewResponseController(w), deadline: deadline, hurry: hurry, cancel: cancel, written: make(chan struct{}, credits)}
	defer context.AfterFunc(hurry, func() { _ = c.writer.control.SetWriteDeadline(time.Now()) })()
	pumped, unsubscribed := make(chan struct{}), make(chan struct{})
	c.stream.OnSubscribe = func(string, *sse.Subscriber) { // called on a goroutine of its own
		defer close(pumped)
		defer cancel()
		pump(c)
	}
	c.stream.OnUnsubscribe = func(string, *sse.Subscriber) { close(unsubscribed) }

	// The library takes the stream's name from the query of a request, and ends with the request's context.
	request := (&http.Request{Method: http.MethodGet, URL: &url.URL{RawQuery: "stream=" + name}, Header: http.Header{}}).WithContext(ctx)
	server.ServeHTTP(c.writer, request)
	cancel()
	<-unsubscribed
	server.RemoveStream(name)
	<-pumped
	return c.writer.stalled.Load()
}

// publish queues one event, once the connection has room for it; false when the client is gone. An event may be published on
// many connections: nothing writes to it.
func (c *connection) publish(e *sse.Event) bool {
	select { // taken back when the event is flushed
	case c.writer.written <- struct{}{}:
	default: // a select of its own, for waiting on two channels costs more than all the rest of this
		if !c.room() {
			return false
		}
	}
	c.published++
	c.server.Publish(c.stream.ID, e)
	return c.ctx.Err() == nil
}

// room waits for room for one event. The right to those that the client is slow to take may end meanwhile: then it is asked for
// again, or what is under way is cut off.
func (c *connection) room() bool {
	for {
		var over <-chan time.Time
		if until := c.writer.until.Load(); until != 0 && !c.writer.leaving() {
			over = time.After(max(time.Until(time.Unix(0, until)), 0) + underWay)
		}
		select {
		case c.writer.written <- struct{}{}:
			return true
		case <-c.ctx.Done():
			return false
		case <-over:
			if !c.writer.leaving() && !c.writer.renew() {
				_ = c.writer.control.SetWriteDeadline(time.Now())
				return false
			}
		}
	}
}

// underWay is how long an event may go on leaving that was begun before the right to it ended.
const underWay = 250 * time.Millisecond

// send publishes an event of this connection alone. An empty id clears the cursor that an EventSource keeps; retry, where it is
// not 0, is the time after which one comes back by itself.
func (c *connection) send(event string, id []byte, data any, retry time.Duration) bool {
	b, err := json.Marshal(data)
	if err != nil {
		return false
	}
	e := &sse.Event{ID: id, Event: []byte(event), Data: b}
	if retry > 0 {
		e.Retry = strconv.AppendInt(nil, retry.Milliseconds(), 10)
	}
	return c.publish(e)
}

// drain waits until everything sent is written.
func (c *connection) drain() {
	for range credits {
		if !c.room() {
			return
		}
	}
}

// farewell says of the next event that it may be written at any time, for it tells nothing of what is hidden. Those before it
// may not.
func (c *connection) farewell() { c.writer.farewell.Store(c.published + 1) }

// deadlineWriter gives each event a deadline, which the library does not, and ends the connection at the first write that
// fails, which the library does not look at.
type deadlineWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	deadline time.Duration
	hurry    context.Context
	cancel   context.CancelFunc
	written  chan struct{}
	started  bool // the response's header is out
	armed    bool
	armedAt  time.Time
	failed   error         // of the first write that did; nothing follows it
	flushed  atomic.Uint64 // events so far
	stalled  atomic.Bool
	// until is when nothing may be written any more that was rendered before, in Unix nanoseconds; 0 is never. A slow reader's
	// event waits here for longer than its right to it may last.
	until atomic.Int64
	// renew asks for the right again that is over, and sets until, or returns false. It is set before until first is, and called
	// from the goroutines of the pump and of the writer.
	renew func() bool
	// farewell is the number of the event that until does not concern; 0 is none.
	farewell atomic.Uint64
}

// leaving tells whether only the farewell is left to be written.
func (w *deadlineWriter) leaving() bool { return w.farewell.Load() == w.flushed.Load()+1 }

// entitle sets until; the zero time is never.
func (w *deadlineWriter) entitle(until time.Time) {
	if until.IsZero() {
		w.until.Store(0)
		return
	}
	w.until.Store(until.UnixNano())
}

// arm sets the deadline before the first byte of an event: a large one leaves net/http's buffer before it is flushed. A
// deadline that has seven eighths left will do, for setting one costs a tenth of what an event does; HTTP/2 resets a stream whose
// deadline passes though nothing is being written, so it has to outlast the time between two bookmarks.
func (w *deadlineWriter) arm() error {
	if w.armed || w.failed != nil {
		return w.failed // the library goes on with the rest of an event whose first line failed
	}
	w.armed = true
	now, farewell := time.Now(), w.leaving()
	if until := w.until.Load(); until != 0 && now.UnixNano() > until && !farewell {
		if !w.renew() {
			return errOver
		}
		now = time.Now()
	}
	if now.Sub(w.armedAt) > w.deadline/8 && w.hurry.Err() == nil {
		_ = w.control.SetWriteDeadline(now.Add(w.deadline)) // unsupported only in tests without a connection
		w.armedAt = now
	}
	return nil
}

var errOver = errors.New("the right to what is to be written is over")

func (w *deadlineWriter) WriteHeader(status int) {
	// The library sets its own, without no-transform, and a header that HTTP/2 forbids.
	w.Header().Del("Connection")
	streamHeader(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func streamHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // or nginx gathers events until it has a buffer full
}

func (w *deadlineWriter) Write(b []byte) (int, error) {
	err, n := w.arm(), 0
	if err == nil {
		n, err = w.ResponseWriter.Write(b)
	}
	if err != nil {
		w.end(err)
	}
	return n, err
}

// Flush ends an event.
func (w *deadlineWriter) Flush() {
	err := w.arm()
	if err == nil {
		err = w.control.Flush()
	}
	if err != nil {
		w.end(err)
	}
	w.armed = false
	if !w.started { // the first flush is the header's
		w.started = true
		return
	}
	w.flushed.Add(1)
	<-w.written
}

func (w *deadlineWriter) end(err error) {
	if isTimeout(err) {
		w.stalled.Store(true)
	}
	w.failed = err
	w.cancel()
}
