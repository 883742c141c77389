package watch

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	probeTimeout = 5 * time.Second
	// While the API server does not answer it is asked this often: a restart is noticed within a second or two.
	probeRetry = time.Second
	// Otherwise now and then, for a rolling upgrade changes the version without a single failed call.
	probeIdle = 5 * time.Minute
)

// connection knows whether the API server answers. One failed call among many sources proves nothing, so a failure only
// raises a doubt, which a request for the version settles.
type connection struct {
	probe   func(context.Context) (version string, err error)
	host    string
	log     *zap.Logger
	changed func() // called without the lock after every change
	doubt   chan struct{}

	mu    sync.Mutex
	state api.ClusterState
	back  chan struct{} // closed when the API server answers again
}

func newConnection(host string, probe func(context.Context) (string, error), log *zap.Logger, changed func()) *connection {
	return &connection{
		probe: probe, host: host, log: log, changed: changed,
		doubt: make(chan struct{}, 1), back: make(chan struct{}),
	}
}

// run asks for the version at the start, at every doubt, and until there is an answer.
func (c *connection) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := probeIdle
		if !c.ask(ctx) {
			wait = probeRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		case <-c.doubt:
			if wait == probeRetry { // a doubt is no news while there is no answer
				select {
				case <-ctx.Done():
				case <-time.After(probeRetry):
				}
			}
		}
	}
}

func (c *connection) ask(ctx context.Context) bool {
	call, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	version, err := c.probe(call)
	if ctx.Err() != nil {
		return false
	}
	c.mu.Lock()
	before := c.state
	switch {
	case err == nil || reached(err):
		c.state = api.ClusterState{Connected: true, KubernetesVersion: version}
		if version == "" {
			c.state.KubernetesVersion = before.KubernetesVersion
		}
		if !before.Connected {
			close(c.back)
			c.back = make(chan struct{})
		}
	case before.Connected || before.Error == "":
		c.state.Connected, c.state.Error = false, unreachable(c.host, err)
		c.state.Since = time.Now().UTC().Truncate(time.Millisecond)
	default:
		c.state.Error = unreachable(c.host, err)
	}
	after := c.state
	c.mu.Unlock()
	if before.Connected != after.Connected {
		c.log.Info("cluster", zap.Bool("connected", after.Connected), zap.String("version", after.KubernetesVersion), zap.String("error", after.Error))
	}
	if before != after {
		c.changed()
	}
	return after.Connected
}

// doubted says that a call did not reach the API server.
func (c *connection) doubted() {
	select {
	case c.doubt <- struct{}{}:
	default:
	}
}

// returned is closed when the API server, having been away, answers again.
func (c *connection) returned() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.back
}

func (c *connection) document() api.ClusterState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}
