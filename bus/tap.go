package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// EventLimits are those of the stream of the events.
func (b *Bus) EventLimits() (maxAge time.Duration, maxBytes int64) {
	return b.config.EventsMaxAge, b.config.EventsMaxBytes
}

// FollowEvents hands over every event that the stream still has, and then each as it comes, in the order of their sequences,
// until ctx ends; it returns nil then, or an error if the bus was closed. A sequence counts within an epoch: with another one,
// the stream was made anew, and all that it has is handed over. Events are not handed over twice.
//
// body is an event in CloudEvents form, subject what it was sent on, at when it was stored. take is called from one goroutine,
// which waits for it.
func (b *Bus) FollowEvents(ctx context.Context, take func(epoch string, sequence uint64, subject string, body []byte, at time.Time)) error {
	t := &tap{link: b.following, config: b.config, take: take}
	log := b.log.Named("events")
	const shortest, longest = 20 * time.Millisecond, time.Second
	pause, last := shortest, ""
	for {
		before := t.sequence
		err := connected(ctx, t.nc, t.follow)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end, and did
		}
		if errors.Is(err, errClosed) {
			return err
		}
		if t.sequence != before {
			pause = shortest
		}
		if text := fmt.Sprint(err); text != last && !errors.Is(err, jetstream.ErrStreamNotFound) { // it is made at the first event
			last = text
			log.Info("events are followed anew", zap.Error(err))
		}
		sleep(ctx, pause)
		pause = min(2*pause, longest)
	}
}

// tap reads the stream of the events. Like a watch of the bucket, its consumer cannot be trusted beyond what can be checked:
// it waits at its old sequence when the stream is made anew.
type tap struct {
	link
	config   Config
	take     func(epoch string, sequence uint64, subject string, body []byte, at time.Time)
	epoch    string
	sequence uint64 // of the last one taken
}

// follow reads until the connection ends, or the stream is not the one any more that is being read.
func (t *tap) follow(ctx context.Context) error {
	now, err := t.state(ctx)
	if err != nil {
		return err
	}
	if epoch := epochOf(now.created); epoch != t.epoch || now.last < t.sequence {
		if epoch == t.epoch {
			epoch = epochAgain(now.created, time.Now()) // sequences are counted twice
		}
		t.epoch, t.sequence = epoch, 0
	}
	consumer, err := t.js.OrderedConsumer(ctx, eventsStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: t.sequence + 1,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", eventsStream, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("stream %s: %w", eventsStream, err)
	}
	arrived := make(chan jetstream.Msg)
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		for {
			msg, err := messages.Next()
			if err != nil {
				ended <- err
				return
			}
			select {
			case arrived <- msg:
			case <-done:
				ended <- nil
				return
			}
		}
	}()
	defer func() {
		close(done)
		messages.Stop()
		<-ended //nolint:errcheck // it is why the messages ended, which is known
	}()
	poll := time.NewTicker(t.config.tuning.followerPoll)
	defer poll.Stop()
	waiting := t.sequence
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			ended <- nil
			return err
		case msg := <-arrived:
			if err := t.one(msg); err != nil {
				return err
			}
		case <-poll.C:
			now, err := t.state(ctx)
			switch {
			case err != nil:
				return err
			case !sameStream(t.epoch, now.created) || now.last < t.sequence:
				return errReplaced
			case now.last > t.sequence && now.messages > 0 && t.sequence == waiting:
				return errStalled
			}
			waiting = t.sequence
			if now.last == t.sequence {
				waiting = 0 // nothing is awaited
			}
		}
	}
}

func (t *tap) one(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("event %s: %w", msg.Subject(), err)
	}
	if meta.Sequence.Stream <= t.sequence {
		return errReplaced
	}
	t.sequence = meta.Sequence.Stream
	t.take(t.epoch, meta.Sequence.Stream, msg.Subject(), msg.Data(), meta.Timestamp)
	return nil
}

func (t *tap) state(ctx context.Context) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, t.config.tuning.request)
	defer cancel()
	stream, err := t.js.Stream(ctx, eventsStream)
	if err != nil {
		return state{}, fmt.Errorf("stream %s: %w", eventsStream, err)
	}
	return stateOf(stream.CachedInfo()), nil
}
