package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// session is one watch of the bucket and the checks beside it. Its fields belong to the follower's goroutine.
type session struct {
	*follower
	opened opened
	watch  *watch

	timer   *time.Timer // when to probe next
	probes  chan probe
	probing bool

	moved  time.Time // when the watch last delivered something, or was seen to have delivered all
	done   time.Time // when the watch said that it has delivered what was there; zero before
	target probe     // what has to be reached to be level; zero if none is set
}

// probe is where the bucket stood at some time.
type probe struct {
	at time.Time
	state
	reach uint64 // the revision up to which everything that survives had to be delivered
	err   error
}

// gatePace is how often a session probes when only the readiness of its epoch is missing.
const gatePace = 5 * time.Millisecond

func (s *session) run(ctx context.Context) error {
	updates := s.watch.Updates()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, ok := <-updates:
			now := time.Now()
			switch {
			case !ok && s.config.tuning.withoutRewatch:
				updates = nil
				continue
			case !ok:
				return errWatchClosed
			case !s.config.tuning.withoutHorizon && s.beyondHorizon(now):
				// A sink that blocked, or a process that was stopped.
				return errHorizon
			}
			s.moved = now
			filled := s.progress.filled
			done, err := s.entries(entry, updates)
			if err != nil {
				return err
			}
			if done {
				s.done = now
			}
			if done || s.progress.filled != filled {
				if s.config.tuning.withoutReadiness && !s.done.IsZero() {
					s.complete()
				}
				s.timer.Reset(0)
			}
		case <-s.timer.C:
			s.probe(ctx)
		case p := <-s.probes:
			s.probing = false
			if err := s.judge(p, len(updates)); err != nil {
				return err
			}
			switch {
			case !s.progress.complete && s.progress.filled && !s.done.IsZero():
				s.timer.Reset(gatePace)
			case !s.progress.complete || !s.config.tuning.withoutRewatch:
				s.timer.Reset(s.config.tuning.followerPoll)
			}
		}
	}
}

// probe asks where the bucket stands, beside the watch: the answer may take a while, or never come.
func (s *session) probe(ctx context.Context) {
	if s.probing {
		return
	}
	s.probing = true
	bound := s.config.tuning.request
	p := probe{at: time.Now()}
	resting := s.moved.Before(p.at.Add(-gatePace))
	revision := s.progress.revision
	s.probers.Go(func() {
		p.state, p.err = s.opened.now(ctx, bound)
		p.reach = p.last
		if p.err == nil && resting && p.last > revision {
			// The newest message may be a tombstone whose time ran out: it will never be delivered.
			p.reach, p.err = s.opened.surviving(ctx, s.bucket.subject(">"), bound)
		}
		s.probes <- p
	})
}

// judge draws the conclusions from a probe. waiting is how many entries the watch has delivered that are not applied.
func (s *session) judge(p probe, waiting int) error {
	if errors.Is(p.err, jetstream.ErrStreamNotFound) && !s.config.tuning.withoutEpochCheck {
		return errReplaced
	}
	if p.err != nil {
		// A connection that is lost, or a server that is busy: the next one will tell more.
		s.log.Debug("probe", zap.Error(p.err))
		return nil //nolint:nilerr // not a fault of the watch
	}
	revision := s.progress.revision
	tuning := s.config.tuning
	if !tuning.withoutEpochCheck && (!p.created.Equal(s.opened.created) || p.last < s.opened.last) {
		return errReplaced
	}
	if s.target.at.IsZero() {
		s.target = p
	}
	if revision >= s.target.reach {
		s.progress.level = s.target.at
		s.target = probe{}
	}
	if revision >= p.reach {
		s.progress.level, s.target = p.at, probe{}
		s.moved = time.Now()
		if !s.progress.complete && s.ready(p, waiting) {
			s.complete()
		}
		return nil
	}
	if !tuning.withoutRewatch && waiting == 0 && p.at.Sub(s.moved) > s.patience {
		return errStalled
	}
	if !tuning.withoutHorizon && s.beyondHorizon(time.Now()) {
		return errHorizon
	}
	return nil
}

// ready tells whether the sink holds all that the bucket holds. That the watch said so is not enough: its mark comes
// early where keys change while it reads (nats-server #4824), and it is true of a bucket that is still being filled.
// Reaching the newest revision is: a watch delivers in the order of revisions. The number of keys is checked besides, for
// a while only: tombstones whose time runs out leave the bucket and not the sink.
func (s *session) ready(p probe, waiting int) bool {
	if s.done.IsZero() || !s.progress.filled || waiting > 0 {
		return false
	}
	_, _, keys := s.sink.Position()
	return uint64(keys+len(s.refused)) == p.subjects || p.at.Sub(s.done) > s.config.tuning.readyBound
}

// complete has the sink serve the epoch.
func (s *session) complete() {
	if s.progress.complete {
		return
	}
	s.progress.complete = true
	s.sink.Apply(s.progress.epoch, nil, true)
	s.log.Info("epoch complete", zap.String("epoch", s.progress.epoch), zap.Uint64("revision", s.progress.revision))
}
