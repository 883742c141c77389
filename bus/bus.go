package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

var errClosed = errors.New("bus: closed")

// Bus is the way to one bucket, and to the events beside it. All methods may be called from any goroutine.
type Bus struct {
	config  Config
	log     *zap.Logger
	metrics *metrics
	server  *embedded // nil where NATS is external

	// Publishing and following have a connection each, so that neither waits behind the other's traffic.
	publishing, following link

	mu sync.Mutex
	// last is how far the last Follow came. The next one resumes there if its sink stands there too.
	last progress
	// closed says that Close was called.
	closed bool
}

// link is a connection and the JetStream context on it.
type link struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// Open starts the embedded server if the URL is empty, and connects. With an external NATS it does not wait until that
// answers: it is asked again for as long as the bus is open. A wrong configuration and unreadable files are errors.
//
// The metrics are registered with registerer, which may be nil. ctx bounds the start only.
func Open(ctx context.Context, config Config, log *zap.Logger, registerer prometheus.Registerer) (*Bus, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bus{config: config, log: log}
	if b.metrics, err = newMetrics(registerer); err != nil {
		return nil, fmt.Errorf("bus metrics: %w", err)
	}
	if config.URL == "" {
		if b.server, err = startEmbedded(ctx, config, log.Named("nats")); err != nil {
			return nil, err
		}
	}
	if b.publishing, err = b.connect("kubefoundry-publisher"); err == nil {
		b.following, err = b.connect("kubefoundry-follower")
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Publisher returns a publisher that wants nothing in the bucket yet. Take one for each term of leadership: what an
// earlier one wanted is not known to it.
func (b *Bus) Publisher() *Publisher { return newPublisher(b) }

// Follow keeps the sink equal to the bucket until ctx ends, and returns nil then, or an error if the bus was closed. One
// sink may be followed by one call at a time. A sink that the last call left where it stands now is continued; any other
// one that is not empty gets a new epoch.
func (b *Bus) Follow(ctx context.Context, sink Sink) error {
	f := &follower{
		bucket:  bucket{js: b.following.js, config: b.config},
		nc:      b.following.nc,
		sink:    sink,
		log:     b.log.Named("follower"),
		metrics: b.metrics,
		config:  b.config,
		refused: map[string]struct{}{},
	}
	b.mu.Lock()
	if epoch, revision, _ := sink.Position(); epoch == b.last.epoch && revision == b.last.revision {
		f.progress = b.last
	}
	b.mu.Unlock()
	err := f.run(ctx)
	last := f.progress
	_, last.revision, _ = sink.Position()
	b.mu.Lock()
	b.last = last
	b.mu.Unlock()
	return err
}

// Close disconnects and stops the embedded server. When it returns, nothing that Open started is running; Run and
// Follow, if they still are, return an error.
func (b *Bus) Close() {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if closed {
		return
	}
	for _, l := range []link{b.following, b.publishing} {
		if l.js != nil {
			l.js.CleanupPublisher()
		}
		if l.nc != nil {
			l.nc.Close()
		}
	}
	if b.server != nil {
		b.server.stop()
	}
}

// sleep waits for d or for ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
