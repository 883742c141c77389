package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/kubefoundry/kubefoundry/api"
)

// bucket names the KeyValue bucket, whether it exists or not.
type bucket struct {
	js     jetstream.JetStream
	config Config
}

// opened is a bucket that existed a moment ago. A bucket that was deleted and created again has the same name, and
// every call on opened reaches the new one: only created tells them apart.
type opened struct {
	kv     jetstream.KeyValue
	stream jetstream.Stream
	state
}

// state is where a bucket's stream stands.
type state struct {
	created  time.Time // survives restarts with a file store
	last     uint64    // sequence of the newest message, which may be gone
	subjects uint64    // keys, tombstones included
	messages uint64
}

func stateOf(info *jetstream.StreamInfo) state {
	return state{
		created: info.Created, last: info.State.LastSeq, subjects: info.State.NumSubjects, messages: info.State.Msgs,
	}
}

func (b bucket) streamName() string { return "KV_" + b.config.Bucket }

// subject is where the bucket's stream takes a key. `>` stands for all.
func (b bucket) subject(key string) string { return "$KV." + b.config.Bucket + "." + key }

// open looks the bucket up. The error wraps jetstream.ErrBucketNotFound where there is none.
func (b bucket) open(ctx context.Context) (opened, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.tuning.request)
	defer cancel()
	kv, err := b.js.KeyValue(ctx, b.config.Bucket)
	if err != nil {
		return opened{}, fmt.Errorf("bucket %s: %w", b.config.Bucket, err)
	}
	stream, err := b.js.Stream(ctx, b.streamName())
	if err != nil {
		return opened{}, fmt.Errorf("bucket %s: %w", b.config.Bucket, err)
	}
	return opened{kv: kv, stream: stream, state: stateOf(stream.CachedInfo())}, nil
}

// ensure opens the bucket, creates it where there is none, and adapts one whose settings differ.
func (b bucket) ensure(ctx context.Context) (opened, error) {
	o, err := b.open(ctx)
	if err == nil && b.suits(o.stream.CachedInfo().Config) {
		return o, nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrBucketNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return opened{}, err
	}
	createCtx, cancel := context.WithTimeout(ctx, b.config.tuning.request)
	defer cancel()
	if _, err := b.js.CreateOrUpdateKeyValue(createCtx, jetstream.KeyValueConfig{
		Bucket:         b.config.Bucket,
		Description:    "KubeFoundry documents",
		History:        1,
		Storage:        b.config.storage(),
		Replicas:       b.config.Replicas,
		LimitMarkerTTL: b.config.TombstoneTTL,
	}); err != nil {
		return opened{}, fmt.Errorf("bucket %s: create or update: %w; delete it if it is left from other settings",
			b.config.Bucket, err)
	}
	return b.open(ctx)
}

func (b bucket) suits(have jetstream.StreamConfig) bool {
	return have.MaxMsgsPerSubject == 1 && have.AllowMsgTTL && have.AllowRollup &&
		have.Storage == b.config.storage() && have.Replicas == b.config.Replicas
}

func (c Config) storage() jetstream.StorageType {
	if c.StoreDir != "" {
		return jetstream.FileStorage
	}
	return jetstream.MemoryStorage
}

// now asks where the bucket of this name stands, be it the same one or not.
func (o opened) now(ctx context.Context, bound time.Duration) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	info, err := o.stream.Info(ctx)
	if err != nil {
		return state{}, fmt.Errorf("stream: %w", err)
	}
	return stateOf(info), nil
}

// surviving is the sequence of the newest message that the stream still has. It is below state.last where the newest
// one was a tombstone whose time ran out.
func (o opened) surviving(ctx context.Context, subject string, bound time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	msg, err := o.stream.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("stream: last message: %w", err)
	}
	return msg.Sequence, nil
}

// filter matches all keys of a kind.
func filter(kind api.Kind) string {
	// A key with an empty id is `<kind>._.`.
	key := api.Key{Kind: kind}.String()
	return key[:len(key)-len("_.")] + ">"
}
