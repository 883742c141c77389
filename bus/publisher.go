package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// Publisher makes the bucket hold what it is told, whatever happens to the bucket. Put, Delete, Settle and Emit may be
// called from any goroutine, before, while and after it runs; they only note what is wanted and never wait for the
// network. The documents handed over are shared, not copied: nobody may write to them any more.
type Publisher struct {
	bucket  bucket
	nc      *nats.Conn
	js      jetstream.JetStream
	config  Config
	log     *zap.Logger
	metrics *metrics
	id      string

	desired *desired
	outbox  *outbox
	unsent  []api.Event // taken from the outbox; belongs to Run
}

func newPublisher(b *Bus) *Publisher {
	return &Publisher{
		bucket:  bucket{js: b.publishing.js, config: b.config},
		nc:      b.publishing.nc,
		js:      b.publishing.js,
		config:  b.config,
		log:     b.log.Named("publisher"),
		metrics: b.metrics,
		id:      nuid.Next(),
		desired: newDesired(),
		outbox:  newOutbox(b.config.EventsQueue, b.metrics),
	}
}

// Put makes doc what the bucket should hold under its key. received is when the change reached this process.
func (p *Publisher) Put(doc api.Document, received time.Time) {
	if p.desired.set(doc.Key, doc.JSON, received) {
		p.metrics.coalesced.Inc()
	}
}

// Delete has the key purged.
func (p *Publisher) Delete(key api.Key, received time.Time) {
	if p.desired.set(key, nil, received) {
		p.metrics.coalesced.Inc()
	}
}

// Settle says that all documents of the kind have been put: whatever else the bucket holds of it is purged, now and each
// time the bucket is filled again.
func (p *Publisher) Settle(kind api.Kind) { p.desired.settle(kind) }

// Emit has an event sent. If too many wait already the oldest is dropped.
func (p *Publisher) Emit(event api.Event) { p.outbox.add(event) }

// Run publishes until ctx ends, and returns nil then, or an error if the bus was closed. What was wanted and not sent is
// sent by the next Run, if there is one. Only one publisher of a bucket should run at a time; two that overlap do no
// lasting harm, for each notices the other's writes and puts its own over them.
func (p *Publisher) Run(ctx context.Context) error {
	var events sync.WaitGroup
	defer events.Wait() // it ends for the same reasons
	events.Go(func() { p.sendEvents(ctx) })

	const shortest, longest = 20 * time.Millisecond, 2 * time.Second
	pause := shortest
	why := "start"
	for {
		filled := false
		err := connected(ctx, p.nc, func(ctx context.Context) (err error) {
			filled, err = p.term(ctx, why)
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errClosed) {
			return err
		}
		why = failure(err)
		p.log.Warn("publishing interrupted", zap.Error(err))
		if filled {
			pause = shortest
		}
		sleep(ctx, pause)
		pause = min(2*pause, longest)
	}
}

// Why a publisher compares the bucket anew with what it should hold.
var (
	errForeignWrite = errors.New("somebody else wrote to the bucket")
)

// failure is err as a label.
func failure(err error) string {
	switch {
	case errors.Is(err, errReplaced):
		return "replaced"
	case errors.Is(err, errForeignWrite) || isWrongSequence(err):
		return "foreign write"
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return "no stream"
	case errors.Is(err, errDisconnected) || errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrDisconnected):
		return "disconnected"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return "timeout"
	}
	return "error"
}

// term is one stretch of publishing to one bucket, from a comparison of all to the first failure.
func (p *Publisher) term(ctx context.Context, why string) (filled bool, err error) {
	o, err := p.bucket.ensure(ctx)
	if err != nil {
		return false, err
	}
	held := map[api.Key][]byte{}
	if o.messages > 0 {
		if err := o.read(ctx, ">", p.config.tuning.request, func(e jetstream.KeyValueEntry) {
			if key, err := api.ParseKey(e.Key()); err == nil {
				held[key] = e.Value()
			}
		}); err != nil {
			return false, fmt.Errorf("bucket %s: %w", p.config.Bucket, err)
		}
	}
	puts, purges := p.desired.refill(held)
	p.metrics.refills.WithLabelValues(why).Inc()
	p.metrics.purges.Add(float64(purges))
	p.log.Info("filling the bucket", zap.String("epoch", epochOf(o.created)), zap.String("reason", why),
		zap.Int("held", len(held)), zap.Int("puts", puts), zap.Int("purges", purges))
	w := &writer{Publisher: p, opened: o, sequence: o.last}
	err = w.run(ctx)
	return w.filled, err
}

// marker is the document that marks the bucket as filled.
func (p *Publisher) marker() []byte {
	// It cannot fail: a string and a time in this century.
	doc, _ := json.Marshal(api.PublisherState{ID: p.id, Time: time.Now().UTC()})
	return doc
}
