package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// writer carries out what is desired of one bucket, until something fails. One goroutine runs it.
//
// Messages are sent without waiting for each other, up to a limit, and their acknowledgements are read in the order in
// which they were sent. Any failure ends the writer: what was not acknowledged is compared with the bucket and sent
// again by the next one, which is simpler than to mend a sequence with a hole in it, and rare.
type writer struct {
	*Publisher
	opened

	sequence uint64   // of the newest message in the bucket, if nobody else writes
	ahead    []*task  // to be done before the next of the queue
	blocked  *task    // waits until all sent is acknowledged
	flying   []flight // sent, not acknowledged
	filled   bool
}

type flight struct {
	task   *task
	future jetstream.PubAckFuture
}

func (w *writer) run(ctx context.Context) error {
	poll := time.NewTicker(w.config.tuning.publisherPoll)
	defer poll.Stop()
	heartbeat := time.NewTicker(w.config.tuning.heartbeat)
	defer heartbeat.Stop()
	for {
		if err := w.send(ctx); err != nil {
			return err
		}
		var acknowledged <-chan *jetstream.PubAck
		var failed <-chan error
		if len(w.flying) > 0 {
			acknowledged, failed = w.flying[0].future.Ok(), w.flying[0].future.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ack := <-acknowledged:
			if err := w.landed(ack); err != nil {
				return err
			}
		case err := <-failed:
			if err := w.crashed(err); err != nil {
				return err
			}
		case <-w.desired.wake:
		case <-heartbeat.C:
			w.desired.mark()
		case <-poll.C:
			if err := w.check(ctx); err != nil {
				return err
			}
		}
	}
}

// send does what can be done now.
func (w *writer) send(ctx context.Context) error {
	for len(w.flying) < w.config.tuning.inFlight {
		t := w.following()
		if t == nil {
			return nil
		}
		if t.waits() && len(w.flying) > 0 {
			w.blocked = t
			return nil
		}
		var err error
		switch {
		case t.mark:
			err = w.mark(ctx)
		case t.document == nil:
			err = w.settle(ctx, t.settle)
		default:
			err = w.publish(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) following() *task {
	if t := w.blocked; t != nil {
		w.blocked = nil
		return t
	}
	if len(w.ahead) > 0 {
		t := w.ahead[0]
		w.ahead = w.ahead[1:]
		return t
	}
	return w.desired.next()
}

func (w *writer) publish(t *task) error {
	msg := &nats.Msg{Subject: w.bucket.subject(t.key.String()), Data: t.json}
	if t.json == nil {
		msg.Header = nats.Header{
			"KV-Operation":         {"PURGE"},
			jetstream.MsgRollup:    {jetstream.MsgRollupSubject},
			jetstream.MsgTTLHeader: {w.config.TombstoneTTL.String()},
		}
	}
	// The library would repeat it after 250 ms, behind newer messages.
	future, err := w.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
	if isRefusal(err) {
		w.refused(t, err)
		return nil
	}
	if err != nil {
		return w.lost(t, err)
	}
	w.flying = append(w.flying, flight{t, future})
	return nil
}

// landed notes the acknowledgement of the first message that flies. Its sequence follows on that of the one before, unless
// somebody else wrote in between.
func (w *writer) landed(ack *jetstream.PubAck) error {
	t := w.pop()
	w.desired.acknowledged(t)
	w.metrics.publishes.Inc()
	w.metrics.publishLatency.Observe(time.Since(t.received).Seconds())
	if ack.Sequence != w.sequence+1 {
		return fmt.Errorf("document %s: %w", t.key, errForeignWrite)
	}
	w.sequence = ack.Sequence
	return nil
}

// crashed deals with the failure of the first message that flies.
func (w *writer) crashed(err error) error {
	t := w.pop()
	if isRefusal(err) {
		w.refused(t, err)
		return nil
	}
	return w.lost(t, err)
}

func (w *writer) pop() *task {
	t := w.flying[0].task
	w.flying[0] = flight{}
	if w.flying = w.flying[1:]; len(w.flying) == 0 {
		w.flying = nil
	}
	return t
}

// refused gives up on a document until it changes.
func (w *writer) refused(t *task, err error) {
	w.metrics.failures.WithLabelValues("refused").Inc()
	w.log.Error("NATS refuses a document; what the bucket holds of it is out of date until it changes",
		zap.Stringer("key", t.key), zap.Int("bytes", len(t.json)), zap.Error(err))
	w.desired.acknowledged(t)
}

func (w *writer) lost(t *task, err error) error {
	w.metrics.failures.WithLabelValues(failure(err)).Inc()
	return fmt.Errorf("document %s: %w", t.key, err)
}

// settle purges what the bucket holds of a kind and should not.
func (w *writer) settle(ctx context.Context, kind api.Kind) error {
	var held []api.Key
	err := w.read(ctx, filter(kind), w.config.tuning.request, func(e jetstream.KeyValueEntry) {
		if key, err := api.ParseKey(e.Key()); err == nil {
			held = append(held, key)
		}
	}, jetstream.MetaOnly())
	if err != nil {
		return fmt.Errorf("settle %s: %w", kind, err)
	}
	purges := w.desired.unwanted(held)
	w.metrics.purges.Add(float64(len(purges)))
	w.ahead = append(w.ahead, purges...)
	return nil
}

// mark says that the bucket holds all that is known, and that the publisher is alive. All before it is acknowledged. It
// is refused if the newest message is not the one that was acknowledged last: then the bucket is not the one that was
// filled, though it has the same name, or somebody else writes to it.
func (w *writer) mark(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.config.tuning.request)
	defer cancel()
	ack, err := w.js.Publish(ctx, w.bucket.subject(api.PublisherKey().String()), w.marker(),
		jetstream.WithExpectLastSequence(w.sequence), jetstream.WithRetryAttempts(0))
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	w.sequence = ack.Sequence
	if !w.filled {
		w.filled = true
		w.log.Info("bucket filled", zap.String("epoch", epochOf(w.created)), zap.Uint64("revision", w.sequence))
	}
	return nil
}

// check looks for what no acknowledgement tells: a bucket that was replaced while nothing was sent, and writes of others.
func (w *writer) check(ctx context.Context) error {
	idle := len(w.flying) == 0
	s, err := w.now(ctx, w.config.tuning.request)
	switch {
	case err != nil:
		return err
	case !s.created.Equal(w.created) || s.last < w.sequence:
		return errReplaced
	case idle && s.last > w.sequence:
		return errForeignWrite
	}
	return nil
}
