package bus

import (
	"strconv"
	"strings"
	"time"
)

// An epoch is named by when the bucket's stream was created, in nanoseconds, base 36, 13 digits. All who follow one
// bucket therefore give it the same name. A follower that has to start anew on the same stream appends when it did so.
const epochDigits = 13

func epochOf(created time.Time) string {
	s := strconv.FormatInt(created.UnixNano(), 36)
	return strings.Repeat("0", max(0, epochDigits-len(s))) + s
}

func epochAgain(created, now time.Time) string { return epochOf(created) + epochOf(now) }

// sameStream tells whether the epoch was named after the stream created then.
func sameStream(epoch string, created time.Time) bool {
	return strings.HasPrefix(epoch, epochOf(created))
}

// progress is how far a follower came in an epoch.
type progress struct {
	epoch    string
	revision uint64
	// level is when everything that the bucket held then had been applied: no tombstone from before it is missing.
	level time.Time
	// filled says that the publisher's state was seen in the epoch, complete that the sink was told to serve it.
	filled, complete bool
}

// next decides where a follower goes on whose sink stands at epoch and revision: there if resume, in a new epoch
// otherwise. The reason says why it is a new one.
func (f *follower) next(bucket state, now time.Time) (p progress, resume bool, reason string) {
	epoch, revision, _ := f.sink.Position()
	fresh := progress{epoch: epochOf(bucket.created), level: now}
	again := progress{epoch: epochAgain(bucket.created, now), level: now}
	tuning := f.config.tuning
	switch {
	case epoch == "":
		return fresh, false, "first"
	case tuning.withoutEpochCheck:
		f.progress.revision = revision
		return f.progress, true, ""
	case !sameStream(epoch, bucket.created):
		return fresh, false, "bucket created anew"
	case bucket.last < revision:
		// The file store lost its tail: sequences will be used a second time.
		return again, false, "bucket fell behind"
	case epoch != f.progress.epoch:
		return again, false, "sink filled by another follower"
	case !tuning.withoutHorizon && f.beyondHorizon(now):
		return again, false, "tombstones may be gone"
	}
	f.progress.revision = revision
	return f.progress, true, ""
}

// beyondHorizon tells whether tombstones that were not applied may have left the bucket. Half of their time is kept for
// reading them. Both clocks count: the monotonic one stops while a laptop sleeps, the other may be set back.
func (f *follower) beyondHorizon(now time.Time) bool {
	limit := f.config.TombstoneTTL / 2
	return now.Sub(f.progress.level) > limit || now.Round(0).Sub(f.progress.level.Round(0)) > limit
}
