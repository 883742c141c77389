package automation

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// news copies the events that sights show into a stream.
type news struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	shown  sights // what the stream holds events of, up to read
	read   position
}

// openNews makes the stream where there is none. What one holds already is not trusted: it is filled anew.
func openNews(ctx context.Context, js jetstream.JetStream, maxAge time.Duration, maxBytes int64) (news, error) {
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        eventsStream,
		Description: "KubeFoundry events that you may see, in CloudEvents form",
		Subjects:    []string{eventsPrefix + ">"},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      maxAge,
		MaxBytes:    maxBytes,
		Storage:     jetstream.MemoryStorage,
		AllowDirect: true,
	})
	if err != nil {
		return news{}, fmt.Errorf("stream of events: %w", err)
	}
	return news{js: js, stream: stream}, nil
}

// show takes out of the stream what must not be seen, and adds what is seen in addition now of the events up to here.
func (n *news) show(ctx context.Context, l *eventLog, see sights) error {
	before := n.shown
	if before.name() == see.name() {
		return nil
	}
	n.shown = nil // until it is done; if it fails, all is done again
	if len(before) == 0 {
		if err := n.stream.Purge(ctx); err != nil {
			return fmt.Errorf("stream of events: purge: %w", err)
		}
		n.read = position{}
		n.shown = see
		return nil
	}
	info, err := n.stream.Info(ctx, jetstream.WithSubjectFilter(eventsPrefix+">"))
	if err != nil {
		return fmt.Errorf("stream of events: %w", err)
	}
	for subject := range info.State.Subjects {
		if cell, ok := cellOf(subject); ok && see.includes(cell) {
			continue
		}
		if err := n.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return fmt.Errorf("stream of events: purge: %w", err)
		}
	}
	end := n.read
	for at, more := (position{epoch: end.epoch}), true; more; {
		var events []event
		events, at, more = l.since(at, stepEntries)
		if at.epoch != end.epoch {
			break // all of the new epoch follows
		}
		var gained []*nats.Msg
		for _, e := range events {
			if e.sequence > end.sequence {
				more = false
				break
			}
			if see.includes(e.cell) && !before.includes(e.cell) {
				gained = append(gained, e.message())
			}
		}
		if err := send(ctx, n.js, gained); err != nil {
			return fmt.Errorf("stream of events: %w", err)
		}
	}
	n.shown = see
	return nil
}

// step copies the next events.
func (n *news) step(ctx context.Context, l *eventLog, see sights) (copied int, more bool, err error) {
	events, next, more := l.since(n.read, stepEntries)
	msgs := make([]*nats.Msg, 0, len(events))
	for _, e := range events {
		if see.includes(e.cell) {
			msgs = append(msgs, e.message())
		}
	}
	if err := send(ctx, n.js, msgs); err != nil {
		return 0, false, fmt.Errorf("stream of events: %w", err)
	}
	n.read = next
	return len(msgs), more, nil
}

// message is the event for a stream. It has no id to drop duplicates by: the stream would drop an event that was purged and
// may be seen again.
func (e event) message() *nats.Msg { return &nats.Msg{Subject: e.subject, Data: e.body} }
