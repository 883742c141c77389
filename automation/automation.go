package automation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/view"
)

// Audience is what tokens have to be made for.
const Audience = "kubefoundry-nats"

// Bus is the NATS server that clients come to.
type Bus interface {
	// Admit has clients decided on; they may publish and subscribe to these subjects, in the account that they are let into.
	Admit(publish, subscribe []string, admit func(ctx context.Context, client uint64, token string, remote net.Addr) (account, user string, err error))
	// Account makes an account and connects to it.
	Account(name string) (*nats.Conn, jetstream.JetStream, error)
	Connected(client uint64) bool
	Disconnect(client uint64)
	// FollowEvents hands over all events that are kept, and those to come.
	FollowEvents(ctx context.Context, take func(epoch string, sequence uint64, subject string, body []byte, at time.Time)) error
	EventLimits() (maxAge time.Duration, maxBytes int64)
}

// Tokens tells whose token it is, as of until at the latest: *auth.Tokens, made for Audience.
type Tokens interface {
	Caller(ctx context.Context, token string) (c *auth.Caller, until time.Time, err error)
}

// Rights tells what a caller may see. It has to look at their rights only: their token is not one for the API server.
type Rights interface {
	Grant(ctx context.Context, c *auth.Caller) (auth.Grant, error)
}

// RightsFunc is a function as Rights, such as the method Sight of *auth.Delegated.
type RightsFunc func(ctx context.Context, c *auth.Caller) (auth.Grant, error)

// Grant calls f.
func (f RightsFunc) Grant(ctx context.Context, c *auth.Caller) (auth.Grant, error) { return f(ctx, c) }

// Options of Automation. What has no default is needed.
type Options struct {
	Bus    Bus
	View   *view.View
	Tokens Tokens
	Rights Rights
	Logger *zap.Logger
	// Registerer may be nil.
	Registerer prometheus.Registerer

	// Callers is how many have an account at the same time. Not more than the bus has. Default 256.
	Callers int
	// Connections is how many a caller may have. Default 20.
	Connections int
	// Grace is how long an account outlasts the last connection to it. Default 5 minutes.
	Grace time.Duration
	// Failures is how many tokens from one address may be refused within a minute before none of it is looked at for the rest
	// of that minute. Default 20.
	Failures int
}

// Automation admits clients and fills their accounts.
type Automation struct {
	Options
	log      *zap.Logger
	metrics  *metrics
	events   *eventLog
	failures failures

	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // of Run, for the rooms that begin while it lasts; nil before and after
	rooms map[string]*room
	free  []string      // accounts that nobody has
	freed chan struct{} // closed when one more is free
	at    sync.WaitGroup
}

// New makes an Automation. Nobody is admitted before Run.
func New(o Options) (*Automation, error) {
	setDefault(&o.Callers, 256)
	setDefault(&o.Connections, 20)
	setDefault(&o.Grace, 5*time.Minute)
	setDefault(&o.Failures, 20)
	a := &Automation{
		Options: o, log: o.Logger, rooms: map[string]*room{}, freed: make(chan struct{}),
		events: newEventLog(o.Bus.EventLimits()), failures: failures{limit: o.Failures, hosts: map[string]int{}},
	}
	for i := o.Callers; i > 0; i-- {
		a.free = append(a.free, "automation-"+strconv.Itoa(i))
	}
	var err error
	if a.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("automation metrics: %w", err)
	}
	return a, nil
}

// Run admits clients until ctx ends, disconnects them, and returns nil, or an error if the bus was closed before. It is called
// once at a time.
func (a *Automation) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	a.ctx = ctx
	a.mu.Unlock()
	a.Bus.Admit(mayPublish(), maySubscribe(), a.admit)
	err := a.Bus.FollowEvents(ctx, a.events.take)
	a.Bus.Admit(nil, nil, nil)
	cancel()
	a.mu.Lock()
	a.ctx = nil
	a.mu.Unlock()
	a.at.Wait()
	if err != nil {
		return fmt.Errorf("automation: %w", err)
	}
	return nil
}

var (
	errTooManyCallers     = errors.New("too many callers have an account already; others are let in some minutes after one of them has left")
	errTooManyConnections = errors.New("the caller has too many connections already")
	errStopping           = errors.New("the server is stopping")
	errLeft               = errors.New("the account is being given back")
)

// enter gives a client a place in the room of its caller.
func (a *Automation) enter(ctx context.Context, c *client) (*room, error) {
	for {
		r, wait, err := a.room(c) //nolint:contextcheck // the room outlives who asks for it
		if err != nil {
			return nil, err
		}
		if r != nil {
			if err = r.join(c); !errors.Is(err, errLeft) {
				return r, err
			}
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, errTooManyCallers
		}
	}
}

// room is that of a client's caller. Where there is none and no account is free, it is nil, and one of those whom nobody is
// connected to is asked to leave: wait is closed when it did.
func (a *Automation) room(c *client) (r *room, wait <-chan struct{}, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil || a.ctx.Err() != nil {
		return nil, nil, errStopping
	}
	id := identity(c.caller)
	if r := a.rooms[id]; r != nil {
		return r, a.freed, nil
	}
	if len(a.free) == 0 {
		var oldest *room
		var since time.Time
		for _, r := range a.rooms {
			// What the server still had to answer to who was there last has been answered then.
			if at := r.emptySince(); !at.IsZero() && time.Since(at) > 10*time.Second && (oldest == nil || at.Before(since)) {
				oldest, since = r, at
			}
		}
		if oldest == nil {
			return nil, nil, errTooManyCallers
		}
		oldest.evict()
		return nil, a.freed, nil
	}
	last := len(a.free) - 1
	r = newRoom(a, id, a.free[last])
	a.free = a.free[:last]
	a.rooms[id] = r
	a.metrics.callers.Set(float64(len(a.rooms)))
	ctx := a.ctx
	a.at.Go(func() {
		r.run(ctx)
		a.leave(r)
	})
	return r, a.freed, nil
}

// leave takes a room's account back.
func (a *Automation) leave(r *room) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.rooms, r.id)
	// The one that was free longest is taken next.
	a.free = append([]string{r.account}, a.free...)
	close(a.freed)
	a.freed = make(chan struct{})
	a.metrics.callers.Set(float64(len(a.rooms)))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
