package httpapi

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

const streamPath = "/api/stream"

// StreamOptions bound the streams.
type StreamOptions struct {
	Max           int           // streams at once, default 10,000
	Coalesce      time.Duration // the least time between two wake-ups of all streams, default 50 ms
	Bookmark      time.Duration // default 15 s
	WriteDeadline time.Duration // for one event, default 20 s
	// MaxAge is how long a stream lasts at most; each ends after 80 to 100 % of it, so that they do not come back all at
	// once. Default 30 minutes.
	MaxAge time.Duration
}

func (o StreamOptions) withDefaults() StreamOptions {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&o.Coalesce, 50*time.Millisecond)
	set(&o.Bookmark, 15*time.Second)
	set(&o.WriteDeadline, 20*time.Second)
	set(&o.MaxAge, 30*time.Minute)
	if o.Max <= 0 {
		o.Max = 10_000
	}
	return o
}

// How long a client waits before it comes back: after a cut, and after a shutdown, when all come at once.
const (
	retryAfterCut      = 2 * time.Second
	retryAfterShutdown = 5 * time.Second
	retryAfterRights   = time.Second
)

// GetStream is the stream of changes. See openapi.yaml for the events.
func (s *Server) GetStream(w http.ResponseWriter, r *http.Request, params api.GetStreamParams) {
	who := from(r)
	scope := view.Scope{Kinds: params.Kinds, Namespace: params.Namespace, Sight: who.grant.Sight}
	reader, reset, err := s.position(r.Header.Get("Last-Event-ID"), params.Since, scope.Sight)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if isHead(r) {
		streamHeader(w.Header())
		return
	}
	if s.closing.Err() != nil {
		s.fail(w, r, errClosing)
		return
	}
	if err := s.enter(who.caller.Name()); err != nil {
		s.metrics.rejected.Inc()
		s.fail(w, r, err)
		return
	}
	p := &pump{server: s, identified: who, scope: scope, scopeName: scope.String(), reader: reader, ended: "gone"}
	wire, err := take(w, &s.buffers)
	if err != nil { // HTTP/2
		defer s.leave(who.caller.Name())
		s.serveStream(r.Context(), w, p, reset)
		return
	}
	go s.serveWire(wire, p, reset) //nolint:contextcheck // net/http's goroutine, buffers and context end with the handler
}

// enter takes the token that a stream has to hold.
func (s *Server) enter(caller string) error {
	if err := s.limits.open(caller); err != nil {
		return err
	}
	select {
	case s.streams <- struct{}{}:
		return nil
	default:
		s.limits.close(caller)
		return api.Errorf(api.ErrorCodeTooManyStreams, "%d streams are open, which is the limit; try again later, or raise --max-streams", cap(s.streams))
	}
}

// leave gives it back. It comes after everything else: with the last one, the server has ended.
func (s *Server) leave(caller string) {
	s.limits.close(caller)
	<-s.streams
}

// serveWire is serveStream on a connection of our own.
func (s *Server) serveWire(w *wire, p *pump, reset api.ResetEventReason) {
	defer s.leave(p.caller.Name())
	defer func() { // net/http catches only what panics on its own goroutines
		if recovered := recover(); recovered != nil {
			s.logPanic(streamPath, recovered)
		}
	}()
	ctx, gone := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() { w.listen(gone) })
	defer func() {
		_ = w.conn.Close()
		listening.Wait()
	}()
	s.serveStream(ctx, w, p, reset)
}

// serveStream serves one stream until it ends.
func (s *Server) serveStream(ctx context.Context, w http.ResponseWriter, p *pump, reset api.ResetEventReason) {
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	name := strconv.FormatUint(s.opened.Add(1), 36)
	stalled := serveEvents(ctx, s.hurrying, s.sse, name, s.stream.WriteDeadline, w, func(c *connection) {
		defer func() { // the pump has a goroutine of its own: nobody else would catch it, and it would end the process
			if recovered := recover(); recovered != nil {
				p.ended = "panic"
				s.logPanic(streamPath, recovered)
			}
		}()
		p.run(c, reset)
	})
	if stalled {
		p.ended = "stalled"
	}
	s.metrics.ended.WithLabelValues(p.ended).Inc()
}

var errClosing = api.Errorf(api.ErrorCodeUnavailable, "the server is shutting down; try again in a few seconds")

// position is where a client's stream begins, and why it has to start over, if it has. The header wins over the query: an
// EventSource that comes back sends both, and its URL is as old as the page.
func (s *Server) position(lastEventID, since string, sight *api.Sight) (reader view.Reader, reset api.ResetEventReason, err error) {
	from := since
	if lastEventID != "" {
		from = lastEventID
	}
	if from != "" {
		cursor, err := api.ParseCursor(from)
		if err == nil {
			reader, err = s.view.Resume(cursor, sight)
		} else if lastEventID != "" { // an EventSource would never come back after a 400
			err = &view.ResetError{Reason: api.ResetEventReasonUnknownEpoch}
		} else { // a number beyond 64 bits, or with zeros before it: the pattern in the document does not know
			err = invalidParameter("since", "must be "+cursorWords)
		}
		var impossible *view.ResetError
		if !errors.As(err, &impossible) {
			return reader, "", err
		}
		reset = impossible.Reason
	} else {
		reset = api.ResetEventReasonStart
	}
	reader, err = s.view.Snapshot(sight)
	return reader, reset, err
}

// pump brings one client up to date, again and again.
type pump struct {
	server *Server
	identified
	scope     view.Scope
	scopeName string
	reader    view.Reader
	ended     string
	expires   time.Time // when it is too old
}

func (p *pump) run(c *connection, reset api.ResetEventReason) {
	s := p.server
	c.writer.renew = func() bool { return p.renew(c) }
	c.writer.entitle(p.grant.Until)
	first := retryAfterCut
	if reset != "" {
		s.metrics.resets.WithLabelValues(string(reset)).Inc()
		if !c.send("reset", nil, api.ResetEvent{Reason: reset}, first) {
			return
		}
	}
	lifetime := time.Duration((0.8 + 0.2*rand.Float64()) * float64(s.stream.MaxAge)) //nolint:gosec // jitter, not a secret
	p.expires = time.Now().Add(lifetime)
	pause := time.NewTimer(p.pause())
	defer pause.Stop()
	for {
		beat := s.pulse.wait()
		if !p.catchUp(c) {
			return
		}
		select { // few cases: each costs every client something at every change
		case <-beat: // also when the server ends
			if s.closing.Err() != nil {
				p.bye(c, api.ByeEventReasonShutdown, retryAfterShutdown)
				return
			}
		case now := <-pause.C:
			if now.After(p.expires) {
				p.bye(c, api.ByeEventReasonMaxAge, 0)
				return
			}
			if !p.catchUp(c) || !p.bookmark(c, now) {
				return
			}
			pause.Reset(p.pause())
		case <-c.ctx.Done():
			return
		}
	}
}

// pause is how long until there is something to do though nothing changed: a bookmark, a look at the caller's rights, or the
// end.
func (p *pump) pause() time.Duration {
	pause := min(p.server.stream.Bookmark, time.Until(p.expires)+time.Millisecond)
	if !p.grant.Until.IsZero() {
		pause = min(pause, time.Until(p.grant.Until)+time.Millisecond)
	}
	return pause
}

// entitled tells whether the client may be sent what comes next. Its rights are asked for again when they are too old to be
// believed, and where documents have come to a place that nobody asked about. Whoever may see more or less than before starts
// over: what was lost has to go, and what was won lies behind the cursor.
func (p *pump) entitled(c *connection) bool {
	s := p.server
	if p.grant.Until.IsZero() || p.grant.Valid(time.Now()) && p.grant.Cells == s.view.CellsVersion() {
		return true
	}
	grant, err := s.identity.Grant(c.ctx, p.caller)
	var refused *api.Error
	switch {
	case c.ctx.Err() != nil:
		return false
	case errors.As(err, &refused) && refused.Code == api.ErrorCodeUnauthenticated:
		p.bye(c, api.ByeEventReasonTokenExpired, 0)
		return false
	case err != nil:
		p.bye(c, api.ByeEventReasonRightsUnknown, retryAfterShutdown)
		return false
	case grant.Sight.Name() != p.scope.Sight.Name():
		p.bye(c, api.ByeEventReasonRightsChanged, retryAfterRights)
		return false
	}
	p.grant = grant
	c.writer.entitle(grant.Until)
	return true
}

// renew tells whether the client may still be shown what was rendered for it. It is called from any goroutine.
func (p *pump) renew(c *connection) bool {
	grant, err := p.server.identity.Grant(c.ctx, p.caller)
	if err != nil || grant.Sight.Name() != p.scope.Sight.Name() {
		return false
	}
	c.writer.entitle(grant.Until)
	return true
}

// catchUp sends everything that the client does not have. False when the connection is over.
func (p *pump) catchUp(c *connection) bool {
	s := p.server
	for {
		if !p.entitled(c) {
			return false
		}
		frame, shared, err := s.frames.after(p.reader, p.scope, p.scopeName)
		if err != nil {
			if !p.startOver(c, err) {
				return false
			}
			continue
		}
		p.reader = frame.next
		if frame.event != nil {
			s.metrics.frames.Inc()
			s.metrics.frameBytes.Add(float64(len(frame.event.Data)))
			if shared {
				s.metrics.framesShared.Inc()
			}
			if !c.publish(frame.event) {
				return false
			}
		}
		if frame.states != nil && !c.send("synced", eventID(p.reader), api.SyncedEvent{Kinds: stateMap(frame.states)}, 0) {
			return false
		}
		if !frame.more {
			return true
		}
		if p.over(c) {
			return false
		}
	}
}

// over says bye to a client that is still behind, for there may be ever more for a slow one. An age is no reason to break off
// a snapshot, which would have to start over.
func (p *pump) over(c *connection) bool {
	switch {
	case p.server.closing.Err() != nil:
		p.bye(c, api.ByeEventReasonShutdown, retryAfterShutdown)
	case !p.reader.Snapshotting() && time.Now().After(p.expires):
		p.bye(c, api.ByeEventReasonMaxAge, 0)
	default:
		return false
	}
	return true
}

// startOver tells a client that its cursor is of no use any more, and begins its snapshot.
func (p *pump) startOver(c *connection, err error) bool {
	var reset *view.ResetError
	if !errors.As(err, &reset) {
		return false
	}
	if p.reader, err = p.server.view.Snapshot(p.scope.Sight); err != nil {
		return false
	}
	p.server.metrics.resets.WithLabelValues(string(reset.Reason)).Inc()
	return c.send("reset", nil, api.ResetEvent{Reason: reset.Reason}, 0)
}

func (p *pump) bookmark(c *connection, now time.Time) bool {
	return c.send("bookmark", eventID(p.reader), api.BookmarkEvent{Cursor: p.reader.Cursor.String(), Time: now.UTC()}, 0)
}

// bye ends a stream that works, and says when to come back: later, and not all at once, after a shutdown.
func (p *pump) bye(c *connection, reason api.ByeEventReason, spread time.Duration) {
	retry := time.Second + time.Duration(rand.Float64()*float64(spread)) //nolint:gosec // jitter, not a secret
	p.ended = string(reason)
	c.farewell()
	if c.send("bye", eventID(p.reader), api.ByeEvent{Reason: reason, RetryMs: int(retry.Milliseconds())}, retry) {
		c.drain()
	}
}

func stateMap(states map[api.Kind]api.KindState) map[string]api.KindState {
	m := make(map[string]api.KindState, len(states))
	for k, v := range states {
		m[string(k)] = v
	}
	return m
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
