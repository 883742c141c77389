package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// Why a follower gives up a watch and looks where the bucket stands. All but the last two are everyday life.
var (
	errReplaced = errors.New("bucket is another one")
	errStalled  = errors.New("bucket went on without the watch")
	errHorizon  = errors.New("too far behind")
)

// follower keeps one sink equal to the bucket. NATS signals neither that a bucket was replaced nor that a watch ended
// with its server (the ordered consumer beneath it waits at its old sequence), so a follower trusts a watch only as far
// as it can check it; see the package's documentation for the four guards. All fields belong to the goroutine of run.
type follower struct {
	bucket  bucket
	nc      *nats.Conn
	sink    Sink
	log     *zap.Logger
	metrics *metrics
	config  Config
	probers sync.WaitGroup

	progress progress
	refused  map[string]struct{} // keys that are none of ours; each is logged once
	patience time.Duration       // how long a watch may be silent while the bucket goes on
}

// run watches, over and over, until ctx ends.
func (f *follower) run(ctx context.Context) error {
	defer f.probers.Wait()
	const shortest, longest = 20 * time.Millisecond, time.Second
	pause, last := shortest, ""
	f.patience = f.config.tuning.followerPoll
	for {
		began, patience := f.progress, f.patience
		err := f.attempt(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errClosed) {
			return err
		}
		label := reason(err)
		f.metrics.rewatches.WithLabelValues(label).Inc()
		if f.patience = f.config.tuning.followerPoll; label == "stalled" && f.progress.revision == began.revision {
			// It may have been about to deliver: a large bucket on a busy server takes its time.
			f.patience = min(2*patience, 30*time.Second)
		}
		if f.progress.epoch != began.epoch || f.progress.revision != began.revision {
			pause = shortest
		}
		if label != last && (last != "" || label != "no bucket") { // at the start it is still being made
			f.log.Info("watch ended", zap.Error(err))
		}
		last = label
		sleep(ctx, pause)
		pause = min(2*pause, longest)
	}
}

// attempt watches for as long as the connection lasts: nothing that was lost with it is missing in a watch that begins on
// the next one.
func (f *follower) attempt(ctx context.Context) error {
	if f.config.tuning.withoutRewatch {
		return f.watch(ctx)
	}
	return connected(ctx, f.nc, f.watch)
}

// reason is err as a label.
func reason(err error) string {
	for label, is := range map[string]error{
		"disconnected": errDisconnected, "replaced": errReplaced, "stalled": errStalled, "horizon": errHorizon,
		"closed": errWatchClosed, "no bucket": jetstream.ErrBucketNotFound,
	} {
		if errors.Is(err, is) {
			return label
		}
	}
	return "error"
}

// watch follows the bucket through one watch of it.
func (f *follower) watch(ctx context.Context) error {
	bound := f.config.tuning.request
	now := time.Now()
	o, err := f.bucket.open(ctx)
	if err != nil {
		return err
	}
	next, resume, why := f.next(o.state, now)
	var options []jetstream.WatchOpt
	if resume {
		// Inclusive, and silent for ever where it is beyond the end: next has made sure that it is not.
		options = append(options, jetstream.ResumeFromRevision(next.revision+1))
	}
	w, err := openWatch(ctx, o.kv, ">", bound, options...)
	if err != nil {
		return err
	}
	defer w.leave()
	// The watch opened by name. Only if the stream is still the same now was it the same then.
	if again, err := o.now(ctx, bound); err != nil {
		return err
	} else if !f.config.tuning.withoutEpochCheck && !again.created.Equal(o.created) {
		return errReplaced
	}
	f.progress = next
	if resume {
		f.metrics.resumes.Inc()
	} else {
		f.metrics.epochs.Inc()
		clear(f.refused)
		f.log.Info("new epoch", zap.String("epoch", next.epoch), zap.String("reason", why))
	}
	s := &session{follower: f, opened: o, watch: w, probes: make(chan probe, 1), moved: time.Now()}
	s.timer = time.NewTimer(f.config.tuning.followerPoll)
	defer s.timer.Stop()
	return s.run(ctx)
}

// entries takes what the watch delivered: first, and all that wait behind it, so that the sink is locked once for all of
// them. done is the watch's mark that it has delivered what the bucket held when it was opened.
func (f *follower) entries(first jetstream.KeyValueEntry, more <-chan jetstream.KeyValueEntry) (done bool, err error) {
	batch := make([]api.Entry, 0, 1+len(more))
	now := time.Now()
	for next, left := first, len(more); ; left-- {
		if next == nil {
			done = true
		} else if entry, ok := f.entry(next); !ok {
			// Not ours.
		} else if next.Revision() <= f.progress.revision && !f.config.tuning.withoutEpochCheck {
			// A stream never goes back: the watch was reset onto another one.
			err = errReplaced
			break
		} else {
			batch = append(batch, entry)
			if f.progress.complete {
				f.metrics.lag.Observe(max(0, now.Sub(entry.Time).Seconds()))
			}
		}
		if next != nil {
			f.progress.revision = max(f.progress.revision, next.Revision())
		}
		if left == 0 {
			break
		}
		var open bool
		if next, open = <-more; !open {
			err = errWatchClosed
			break
		}
	}
	if len(batch) > 0 {
		f.sink.Apply(f.progress.epoch, batch, f.progress.complete)
	}
	return done, err
}

func (f *follower) entry(e jetstream.KeyValueEntry) (api.Entry, bool) {
	key, err := api.ParseKey(e.Key())
	if err != nil {
		if _, known := f.refused[e.Key()]; !known {
			f.refused[e.Key()] = struct{}{}
			f.metrics.refusedKeys.Inc()
			f.log.Warn("ignoring an entry of the bucket that is none of ours", zap.Error(err))
		}
		return api.Entry{}, false
	}
	entry := api.Entry{Key: key, Revision: e.Revision(), Time: e.Created()}
	if e.Operation() == jetstream.KeyValuePut && len(e.Value()) > 0 {
		entry.JSON = e.Value()
		f.progress.filled = f.progress.filled || key == api.PublisherKey()
	}
	return entry, true
}
