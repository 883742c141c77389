package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestEpochsAreNamedAfterTheirStream(t *testing.T) {
	created := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	epoch, again := epochOf(created), epochAgain(created, created.Add(time.Hour))
	for _, e := range []string{epoch, again, epochOf(time.Unix(0, 1)), epochOf(time.Unix(1<<33, 0))} {
		cursor, err := api.ParseCursor(e + "-7")
		require.NoError(t, err)
		assert.Equal(t, e, cursor.Epoch)
		assert.Zero(t, len(e)%epochDigits)
	}
	assert.True(t, sameStream(epoch, created))
	assert.True(t, sameStream(again, created))
	assert.False(t, sameStream(again, created.Add(1)))
	assert.NotEqual(t, epoch, again)
}

func TestAnEpochWaitsForAPublisher(t *testing.T) {
	b := open(t, Config{tuning: tuning{followerPoll: 20 * time.Millisecond}})
	m := newModel()
	start(t, follow(b, m))
	p := b.Publisher()
	o, err := p.bucket.ensure(context.Background())
	require.NoError(t, err)
	_, err = o.kv.Put(context.Background(), pod(1).String(), []byte(`1`))
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, revision, _ := m.Position(); return revision == 1 }, 5*time.Second, time.Millisecond)
	time.Sleep(200 * time.Millisecond)
	assert.Empty(t, m.servingEpoch(), "nobody has said that the bucket is filled")

	start(t, p.Run)
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
}

func TestStrangeEntriesAreIgnored(t *testing.T) {
	b := open(t, Config{})
	p, m := b.Publisher(), newModel()
	o, err := p.bucket.ensure(context.Background())
	require.NoError(t, err)
	for _, key := range []string{"strange", "strange", "pods.ml.a=2fb", "a.b.c.d"} {
		_, err = o.kv.Put(context.Background(), key, []byte(`1`))
		require.NoError(t, err)
	}
	p.Put(doc(pod(1), `1`), time.Now())
	began := time.Now()
	start(t, p.Run, follow(b, m))
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
	assert.Less(t, time.Since(began), b.config.tuning.readyBound, "their keys count")
	assert.InDelta(t, 3, testutil.ToFloat64(b.metrics.refusedKeys), 0, "each key once")
}

func TestFollowGoesOnWhereItStopped(t *testing.T) {
	b := open(t, Config{})
	p, m := b.Publisher(), newModel()
	start(t, p.Run)
	p.Put(doc(pod(1), `1`), time.Now())
	p.Put(doc(pod(2), `2`), time.Now())
	stop := start(t, follow(b, m))
	m.eventually(t, map[api.Key]string{pod(1): `1`, pod(2): `2`}, 5*time.Second)
	stop()
	epoch := m.servingEpoch()

	p.Delete(pod(1), time.Now())
	stop = start(t, follow(b, m))
	m.eventually(t, map[api.Key]string{pod(2): `2`}, 5*time.Second)
	assert.Equal(t, epoch, m.servingEpoch())
	assert.InDelta(t, 1, testutil.ToFloat64(b.metrics.resumes), 0)
	stop()

	// Of a sink that another follower filled it is not known which deletions it missed.
	other := newModel()
	other.Apply(epoch, []api.Entry{{Key: pod(9), Revision: 1, JSON: []byte(`9`)}}, true)
	other.faults = nil // it has no publisher, which is not the point
	start(t, follow(b, other))
	other.eventually(t, map[api.Key]string{pod(2): `2`}, 5*time.Second)
	assert.NotEqual(t, epoch, other.servingEpoch())
}

func TestASlowSinkDoesNotMissDeletions(t *testing.T) {
	b := open(t, Config{TombstoneTTL: time.Second, tuning: tuning{followerPoll: 50 * time.Millisecond}})
	p, m := b.Publisher(), newModel()
	start(t, p.Run, follow(b, m))
	want := map[api.Key]string{}
	for i := range 2000 {
		want[pod(i)] = fmt.Sprint(i)
		p.Put(doc(pod(i), want[pod(i)]), time.Now())
	}
	m.eventually(t, want, 5*time.Second)
	epoch := m.servingEpoch()

	stall := make(chan struct{})
	m.mu.Lock()
	m.stall = stall
	m.mu.Unlock()
	for i := range 1000 {
		p.Put(doc(pod(i), "again"), time.Now())
		delete(want, pod(i))
		p.Delete(pod(i), time.Now())
	}
	full := bucketState(t, b).messages
	require.Eventually(t, func() bool { return bucketState(t, b).messages <= full-1000 }, 10*time.Second, 20*time.Millisecond,
		"the tombstones are gone")
	m.mu.Lock()
	m.stall = nil
	m.mu.Unlock()
	close(stall)
	m.eventually(t, want, 5*time.Second)
	assert.NotEqual(t, epoch, m.servingEpoch())
}

// TestTheNewestMessageMayBeGone: after its tombstone has expired, the bucket's last sequence belongs to no message, and
// whoever waits for it waits for ever.
func TestTheNewestMessageMayBeGone(t *testing.T) {
	config := Config{TombstoneTTL: time.Second, tuning: silent()}
	config.tuning.followerPoll = 20 * time.Millisecond
	b := open(t, config)
	p, m := b.Publisher(), newModel()
	start(t, p.Run)
	stop := start(t, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	p.Put(doc(pod(2), `2`), time.Now())
	m.eventually(t, map[api.Key]string{pod(1): `1`, pod(2): `2`}, 5*time.Second)
	p.Delete(pod(1), time.Now())
	m.eventually(t, map[api.Key]string{pod(2): `2`}, 5*time.Second)
	require.Eventually(t, func() bool { return bucketState(t, b).messages == 2 }, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, uint64(4), bucketState(t, b).last)

	time.Sleep(300 * time.Millisecond)
	assert.Zero(t, testutil.ToFloat64(b.metrics.rewatches.WithLabelValues("stalled")))
	assert.InDelta(t, 1, testutil.ToFloat64(b.metrics.epochs), 0)
	assert.Zero(t, testutil.ToFloat64(b.metrics.refills.WithLabelValues("foreign write")), "nor does the publisher mind")
	stop()

	late := newModel()
	began := time.Now()
	start(t, follow(b, late))
	late.eventually(t, map[api.Key]string{pod(2): `2`}, 5*time.Second)
	assert.Less(t, time.Since(began), b.config.tuning.readyBound)
}
