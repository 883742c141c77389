package automation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	// pace is how often an account is brought up to date at most: what changes more often is copied once.
	pace = 50 * time.Millisecond
	// poll is how often it is looked who is still connected.
	poll = time.Second
	// askTimeout bounds a question about a token or about rights that are not known any more: it is asked while clients are
	// connected who may have lost them.
	askTimeout = 5 * time.Second
	// fillTimeout bounds one step of filling an account.
	fillTimeout = 5 * time.Second
)

// room is the account of one caller, and who is connected to it.
type room struct {
	*Automation
	id      string
	account string
	log     *zap.Logger
	wake    chan struct{}

	mu      sync.Mutex
	clients []*client
	empty   time.Time // since when nobody is connected; zero while somebody is
	evicted bool
	left    bool

	// The rest belongs to run.
	nc         *nats.Conn
	js         jetstream.JetStream
	reconnects uint64
	made       bool // the streams are there
	shown      sights
	documents  documents
	news       news
}

func newRoom(a *Automation, id, account string) *room {
	return &room{Automation: a, id: id, account: account, log: a.log.With(zap.String("account", account)), wake: make(chan struct{}, 1)}
}

// join gives a client a place. It is let in when run answers it.
func (r *room) join(c *client) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left || r.evicted {
		return errLeft
	}
	if len(r.clients) >= r.Connections {
		r.prune()
		if len(r.clients) >= r.Connections {
			return errTooManyConnections
		}
	}
	r.clients = append(r.clients, c)
	r.empty = time.Time{}
	r.metrics.connections.Inc()
	r.poke()
	return nil
}

// drop takes a client's place away.
func (r *room) drop(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(func(other *client) bool { return other == c })
}

// prune drops those who have gone. Called with mu held.
func (r *room) prune() {
	r.remove(func(c *client) bool { return !r.Bus.Connected(c.id) })
}

// remove is called with mu held.
func (r *room) remove(gone func(*client) bool) {
	before := len(r.clients)
	r.clients = slices.DeleteFunc(r.clients, gone)
	r.metrics.connections.Sub(float64(before - len(r.clients)))
	if len(r.clients) == 0 && r.empty.IsZero() {
		r.empty = time.Now()
	}
}

// refuse disconnects a client. One that waits is told so by the server.
func (r *room) refuse(c *client, err error) {
	if c.answered {
		r.Bus.Disconnect(c.id)
		r.metrics.refusals.WithLabelValues(reasonOf(err)).Inc()
		r.log.Warn("client disconnected", zap.String("reason", reasonOf(err)), zap.String("remote", c.remote), zap.String("user", c.caller.Name()), zap.Error(err))
	}
	c.answer(err)
	r.drop(c)
}

// present is who is connected, or waits to be. leave says that nobody came back in time.
func (r *room) present() (clients []*client, leave bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prune()
	if len(r.clients) == 0 {
		if r.empty.IsZero() {
			r.empty = time.Now() // the client that it was made for has not joined yet
		}
		r.left = r.evicted || time.Since(r.empty) > r.Grace
	}
	return slices.Clone(r.clients), r.left
}

func (r *room) emptySince() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.empty
}

func (r *room) evict() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evicted = len(r.clients) == 0
	r.poke()
}

func (r *room) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run keeps the account until nobody needs it any more or ctx ends.
func (r *room) run(ctx context.Context) {
	defer r.end(context.WithoutCancel(ctx))
	var last string
	for ctx.Err() == nil {
		clients, leave := r.present()
		if leave {
			return
		}
		if len(clients) == 0 { // nothing is copied for nobody, and the API server is not asked about them
			_ = r.wait(ctx, poll, nil, nil)
			continue
		}
		documents, events := r.View.Wait(), r.events.wait()
		began := time.Now()
		next, more, err := r.serve(ctx, clients)
		text := ""
		if err != nil && ctx.Err() == nil {
			if text = err.Error(); text != last {
				r.log.Warn("account is not up to date", zap.Error(err))
			}
			documents, events, next = nil, nil, time.Now().Add(250*time.Millisecond)
		}
		last = text
		if more && err == nil {
			continue
		}
		if err == nil && r.wait(ctx, min(pace-time.Since(began), time.Until(next)), nil, nil) {
			continue
		}
		_ = r.wait(ctx, min(poll, time.Until(next)), documents, events)
	}
}

// wait waits for one of these things, or for a client to come, which it tells.
func (r *room) wait(ctx context.Context, d time.Duration, documents, events <-chan struct{}) (came bool) {
	if d <= 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
		return true
	case <-timer.C:
	case <-documents:
	case <-events:
	}
	return false
}

// serve does one step of bringing the account up to date. next is when something that is known now has to be asked again;
// more says that there is more to copy.
func (r *room) serve(ctx context.Context, clients []*client) (next time.Time, more bool, err error) {
	clients, next, unknown := r.ask(ctx, clients)
	if len(clients) == 0 {
		return next, false, nil
	}
	if unknown != nil {
		return next, false, unknown
	}
	see := sightsOf(clients)
	more, err = r.fill(ctx, see)
	if err != nil {
		r.made = false
		failed := fmt.Errorf("fill the account: %w", err)
		if see.name() != r.shown.name() { // it may hold what they must not see any more
			for _, c := range clients {
				if c.answered {
					r.refuse(c, failed)
				}
			}
		}
		return next, false, failed
	}
	if !more {
		for _, c := range clients {
			c.answer(nil)
		}
	}
	return next, more, nil
}

// fill does one step of making the account hold what may be seen. What must not be seen is taken out in the first.
func (r *room) fill(ctx context.Context, see sights) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	if err := r.prepare(ctx); err != nil {
		return false, err
	}
	if !r.documents.started || see.name() != r.shown.name() {
		if err := r.documents.start(ctx, r.View, see); err != nil {
			return false, err
		}
		if err := r.news.show(ctx, r.events, see); err != nil {
			return false, err
		}
		r.shown = see
	}
	copied, moreDocuments, err := r.documents.step(ctx, r.View, see)
	r.metrics.documents.Add(float64(copied))
	if err != nil {
		return false, err
	}
	copied, moreEvents, err := r.news.step(ctx, r.events, see)
	r.metrics.events.Add(float64(copied))
	return moreDocuments || moreEvents, err
}

// prepare makes the streams where they are not known to be there, and starts over with them.
func (r *room) prepare(ctx context.Context) error {
	if r.nc == nil {
		nc, js, err := r.Bus.Account(r.account)
		if err != nil {
			return err
		}
		r.nc, r.js = nc, js
		// Somebody else may have had the account before.
		for _, stream := range []string{bucketStream, eventsStream} {
			if err := js.DeleteStream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				r.nc = nil
				nc.Close()
				return err
			}
		}
	}
	if reconnects := r.nc.Stats().Reconnects; reconnects != r.reconnects { // to a server that began anew
		r.reconnects, r.made = reconnects, false
	}
	if r.made {
		return nil
	}
	maxAge, maxBytes := r.Bus.EventLimits()
	var err error
	if r.documents, err = openDocuments(ctx, r.js); err != nil {
		return err
	}
	if r.news, err = openNews(ctx, r.js, maxAge, maxBytes); err != nil {
		return err
	}
	r.made = true
	return nil
}

// end leaves nothing behind for who gets the account next.
func (r *room) end(ctx context.Context) {
	r.mu.Lock()
	r.left = true
	clients := r.clients
	r.mu.Unlock()
	for _, c := range slices.Clone(clients) {
		if c.answered {
			r.Bus.Disconnect(c.id)
		}
		c.answer(errStopping)
		r.drop(c)
	}
	if r.nc == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, stream := range []string{bucketStream, eventsStream} {
		if r.nc.IsConnected() {
			_ = r.js.DeleteStream(ctx, stream) // who comes next tries again
		}
	}
	r.js.CleanupPublisher()
	r.nc.Close()
}

// sights is what several tokens may see: what all of them may. They are different, and in order; without any nothing is seen.
type sights []*api.Sight

func sightsOf(clients []*client) sights {
	var s sights
	for _, c := range clients {
		s = append(s, c.grant.Sight)
	}
	slices.SortFunc(s, func(a, b *api.Sight) int { return cmp.Compare(a.Name(), b.Name()) })
	return slices.CompactFunc(s, func(a, b *api.Sight) bool { return a.Name() == b.Name() })
}

func (s sights) includes(c api.Cell) bool {
	for _, sight := range s {
		if !sight.Includes(c) {
			return false
		}
	}
	return len(s) > 0
}

// name is the same for equal ones. That of no sights is no other's.
func (s sights) name() string {
	if len(s) == 0 {
		return "none"
	}
	names := make([]string, len(s))
	for i, sight := range s {
		names[i] = sight.Name()
	}
	return "of " + strings.Join(names, "+")
}
