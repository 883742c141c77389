package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	eventsStream  = "KUBEFOUNDRY_EVENTS"
	eventsSubject = "kubefoundry.events."
	// eventsWindow is for how long the stream knows an event again by its id.
	eventsWindow = 2 * time.Minute
)

// outbox holds the events that wait to be sent, at most limit of them. Documents are state and are never dropped; events
// are news, and the newest are worth most.
type outbox struct {
	metrics *metrics
	wake    chan struct{}

	mu     sync.Mutex
	events []api.Event // a ring: the oldest is at head
	head   int
	length int
}

func newOutbox(limit int, m *metrics) *outbox {
	return &outbox{metrics: m, wake: make(chan struct{}, 1), events: make([]api.Event, limit)}
}

func (o *outbox) add(e api.Event) {
	o.mu.Lock()
	if o.length == len(o.events) {
		o.head = (o.head + 1) % len(o.events)
		o.length--
		o.metrics.eventsDropped.WithLabelValues("overflow").Inc()
	}
	o.events[(o.head+o.length)%len(o.events)] = e
	o.length++
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take removes up to limit of the oldest events.
func (o *outbox) take(limit int) []api.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := make([]api.Event, 0, min(limit, o.length))
	for len(taken) < cap(taken) {
		taken = append(taken, o.events[o.head])
		o.events[o.head] = api.Event{}
		o.head = (o.head + 1) % len(o.events)
		o.length--
	}
	return taken
}

// eventsBatch is how many events are sent before their acknowledgements are awaited.
const eventsBatch = 64

// sendEvents sends what is in the outbox until ctx ends. What failed of a batch is sent again: the stream knows those by
// their ids that it has already.
func (p *Publisher) sendEvents(ctx context.Context) {
	const shortest, longest = 20 * time.Millisecond, 2 * time.Second
	pause := shortest
	for {
		err := connected(ctx, p.nc, func(ctx context.Context) error {
			if err := p.ensureEvents(ctx); err != nil {
				return err
			}
			for {
				var err error
				if p.unsent, err = p.sendBatch(ctx, p.unsent); err != nil {
					return err
				}
				pause = shortest
				if p.unsent = p.outbox.take(eventsBatch); len(p.unsent) > 0 {
					continue
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-p.outbox.wake:
				}
			}
		})
		if ctx.Err() != nil || errors.Is(err, errClosed) {
			return
		}
		p.log.Warn("events interrupted", zap.Int("unsent", len(p.unsent)), zap.Error(err))
		sleep(ctx, pause)
		pause = min(2*pause, longest)
	}
}

// ensureEvents creates the stream of the events or adapts it.
func (p *Publisher) ensureEvents(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.config.tuning.request)
	defer cancel()
	_, err := p.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        eventsStream,
		Description: "KubeFoundry events, in CloudEvents form",
		Subjects:    []string{eventsSubject + ">"},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      p.config.EventsMaxAge,
		MaxBytes:    p.config.EventsMaxBytes,
		Storage:     p.config.storage(),
		Replicas:    p.config.Replicas,
		Duplicates:  min(eventsWindow, p.config.EventsMaxAge),
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", eventsStream, err)
	}
	return nil
}

// sendBatch returns the events that have to be sent again.
func (p *Publisher) sendBatch(ctx context.Context, batch []api.Event) ([]api.Event, error) {
	futures := make([]jetstream.PubAckFuture, len(batch))
	var failed error
	for i, event := range batch {
		id := eventID(event)
		body, err := encodeEvent(event, id, p.config.Source)
		if err == nil {
			futures[i], err = p.js.PublishMsgAsync(&nats.Msg{Subject: eventSubject(event), Data: body},
				jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
		}
		switch {
		case err == nil:
		case errors.Is(err, errEncode) || isRefusal(err):
			p.metrics.eventsDropped.WithLabelValues("refused").Inc()
			p.log.Error("event dropped", zap.Stringer("key", event.Key), zap.String("change", string(event.Change)), zap.Error(err))
		default:
			// Those before it may have been sent; those after it were not.
			return batch, err
		}
	}
	var again []api.Event
	for i, future := range futures {
		if future == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return batch, ctx.Err()
		case <-future.Ok():
			p.metrics.eventsSent.Inc()
		case err := <-future.Err():
			if isRefusal(err) {
				p.metrics.eventsDropped.WithLabelValues("refused").Inc()
				continue
			}
			failed = err
			again = append(again, batch[i])
		}
	}
	return again, failed
}
