package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var errWatchClosed = errors.New("watch closed")

// watch is a KeyWatcher that can be opened and left in bounded time.
type watch struct {
	jetstream.KeyWatcher
	cancel context.CancelFunc
}

// openWatch opens a watch of the keys that match. The library waits 5 s for the answer if the connection is lost
// meanwhile, and a context with a deadline would stay with the watch and end it: so a timer cancels it.
func openWatch(ctx context.Context, kv jetstream.KeyValue, keys string, bound time.Duration, options ...jetstream.WatchOpt) (*watch, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(bound, cancel)
	watcher, err := kv.Watch(ctx, keys, options...)
	if err != nil {
		timer.Stop()
		cancel()
		return nil, fmt.Errorf("watch %s: %w", keys, err)
	}
	w := &watch{KeyWatcher: watcher, cancel: cancel}
	if !timer.Stop() {
		w.leave()
		return nil, fmt.Errorf("watch %s: %w", keys, context.DeadlineExceeded)
	}
	return w, nil
}

// leave ends the watch without waiting for the server: the library's own Stop deletes the consumer first and can wait
// 5 s for the answer, which here happens in a goroutine of the library. The channel is read until it closes, for the
// library blocks on it for ever where nobody does; a watch that ends while it is being opened never closes it.
func (w *watch) leave() {
	w.cancel()
	go func() {
		for {
			select {
			case _, ok := <-w.Updates():
				if !ok {
					return
				}
			case <-time.After(time.Second):
				return
			}
		}
	}()
}

// read calls each for what the bucket holds now under the keys that match, tombstones left out.
func (o opened) read(ctx context.Context, keys string, bound time.Duration, each func(jetstream.KeyValueEntry), options ...jetstream.WatchOpt) error {
	w, err := openWatch(ctx, o.kv, keys, bound, append(options, jetstream.IgnoreDeletes())...)
	if err != nil {
		return err
	}
	defer w.leave()
	// A connection that is lost goes unnoticed by the watch, so silence is what ends it.
	silence := time.NewTimer(bound)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-silence.C:
			return fmt.Errorf("read %s: %w", keys, context.DeadlineExceeded)
		case entry, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("read %s: %w", keys, errWatchClosed)
			}
			if entry == nil {
				return nil
			}
			each(entry)
			silence.Reset(bound)
		}
	}
}
