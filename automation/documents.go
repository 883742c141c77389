package automation

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

const (
	// markerTTL is how long the bucket remembers that a document was purged.
	markerTTL = 2 * time.Hour
	// A step copies that much at most, so that it does not take long: rights may be over in between.
	stepEntries = 512
	stepBytes   = 1 << 20
)

// documents copies what sights show of a view into a bucket.
type documents struct {
	js      jetstream.JetStream
	kv      jetstream.KeyValue
	started bool
	reader  view.Reader
	// held is what the bucket held when it was started and was not met again yet, by the hash of the document. What is left
	// when all has been read is purged. nil after that.
	held map[string]uint64
	seed maphash.Seed
}

// openDocuments makes the bucket where there is none.
func openDocuments(ctx context.Context, js jetstream.JetStream) (documents, error) {
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         bucketName,
		Description:    "KubeFoundry documents that you may see",
		History:        1,
		Storage:        jetstream.MemoryStorage,
		LimitMarkerTTL: markerTTL,
	})
	if err != nil {
		return documents{}, fmt.Errorf("bucket: %w", err)
	}
	return documents{js: js, kv: kv, seed: maphash.MakeSeed()}, nil
}

// start begins anew without emptying the bucket: it takes out what must not be seen, and steps compare the rest.
func (d *documents) start(ctx context.Context, v *view.View, see sights) error {
	d.started = false
	held, err := d.read(ctx)
	if err != nil {
		return fmt.Errorf("bucket: read: %w", err)
	}
	var gone []*nats.Msg
	for key := range held {
		if k, err := api.ParseKey(key); err != nil || !see.includes(k.Cell()) {
			gone = append(gone, purge(key))
			delete(held, key)
		}
	}
	if err := send(ctx, d.js, gone); err != nil {
		return fmt.Errorf("bucket: purge: %w", err)
	}
	reader, err := v.Snapshot(see[0])
	if err != nil {
		return err
	}
	d.reader, d.held, d.started = reader, held, true
	return nil
}

// read tells what the bucket holds.
func (d *documents) read(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	held := map[string]uint64{}
	status, err := d.kv.Status(ctx)
	if err != nil || status.Values() == 0 {
		return held, err
	}
	watch, err := d.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer watch.Stop() //nolint:errcheck // it ends with ctx at the latest
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case entry, open := <-watch.Updates():
			if !open {
				return nil, errWatchEnded
			}
			if entry == nil { // nobody else writes: this was all
				return held, nil
			}
			held[entry.Key()] = maphash.Bytes(d.seed, entry.Value())
		}
	}
}

var errWatchEnded = errors.New("watch ended")

// step copies the next changes.
func (d *documents) step(ctx context.Context, v *view.View, see sights) (copied int, more bool, err error) {
	batch, err := v.Changes(d.reader, view.Scope{Sight: see[0]}, stepEntries, stepBytes)
	if reset := (*view.ResetError)(nil); errors.As(err, &reset) {
		d.started = false
		return 0, true, nil
	} else if err != nil {
		return 0, false, err
	}
	msgs := make([]*nats.Msg, 0, len(batch.Entries))
	for _, entry := range batch.Entries {
		key := entry.Key.String()
		had, known := d.held[key]
		delete(d.held, key)
		switch {
		case !see.includes(entry.Key.Cell()):
		case entry.Deleted():
			msgs = append(msgs, purge(key))
		case !known || had != maphash.Bytes(d.seed, entry.JSON):
			msgs = append(msgs, &nats.Msg{Subject: bucketPrefix + key, Data: entry.JSON})
		}
	}
	if !batch.More {
		for key := range d.held {
			msgs = append(msgs, purge(key))
		}
	}
	if err := send(ctx, d.js, msgs); err != nil {
		d.started = false
		return 0, false, fmt.Errorf("bucket: %w", err)
	}
	if !batch.More {
		d.held = nil
	}
	d.reader = batch.Next
	return len(msgs), batch.More, nil
}

// purge is the message by which a key is purged, with a marker that does not stay for ever.
func purge(key string) *nats.Msg {
	return &nats.Msg{Subject: bucketPrefix + key, Header: nats.Header{
		"KV-Operation": {"PURGE"}, jetstream.MsgRollup: {jetstream.MsgRollupSubject}, "Nats-TTL": {markerTTL.String()},
	}}
}

// send publishes messages and waits until all are stored. stored is not told where not all were: the copier starts over.
func send(ctx context.Context, js jetstream.JetStream, msgs []*nats.Msg) error {
	for len(msgs) > 0 {
		batch := msgs[:min(len(msgs), stepEntries)]
		msgs = msgs[len(batch):]
		futures := make([]jetstream.PubAckFuture, len(batch))
		for i, msg := range batch {
			future, err := js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
			if err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			futures[i] = future
		}
		for _, future := range futures {
			select {
			case <-future.Ok():
			case err := <-future.Err():
				return fmt.Errorf("publish: %w", err)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
