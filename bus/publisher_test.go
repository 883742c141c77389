package bus

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus/bustest"
)

// silent has the publisher write nothing of its own accord.
func silent() tuning { return tuning{heartbeat: time.Hour} }

func bucketState(t *testing.T, b *Bus) state {
	t.Helper()
	o, err := bucket{js: b.following.js, config: b.config}.open(context.Background())
	require.NoError(t, err)
	return o.state
}

func TestSuccessorPutsOnlyWhatDiffers(t *testing.T) {
	b := open(t, Config{tuning: silent()})
	now, m := time.Now(), newModel()
	start(t, follow(b, m))

	first, want := b.Publisher(), map[api.Key]string{}
	for i := range 100 {
		want[pod(i)] = fmt.Sprintf(`{"i":%d}`, i)
		first.Put(doc(pod(i), want[pod(i)]), now)
	}
	first.Settle(api.KindPods)
	stop := start(t, first.Run)
	m.eventually(t, want, 5*time.Second)
	stop()
	before, epoch := bucketState(t, b), m.servingEpoch()

	second := b.Publisher()
	delete(want, pod(7))
	want[pod(8)] = `{"i":"changed"}`
	for key, json := range want {
		second.Put(doc(key, json), now)
	}
	start(t, second.Run)
	require.Eventually(t, func() bool { return bucketState(t, b).last == before.last+2 }, 5*time.Second, 5*time.Millisecond,
		"one put and the mark")
	second.Settle(api.KindPods)
	m.eventually(t, want, 5*time.Second)
	assert.Equal(t, before.last+3, bucketState(t, b).last, "and one purge")
	assert.Equal(t, epoch, m.servingEpoch())
}

func TestNothingIsPurgedThatMayNotBeListedYet(t *testing.T) {
	b := open(t, Config{tuning: silent()})
	m := newModel()
	start(t, follow(b, m))
	first := b.Publisher()
	first.Put(doc(pod(1), `1`), time.Now())
	first.Put(doc(api.NodeKey("a"), `2`), time.Now())
	stop := start(t, first.Run)
	m.eventually(t, map[api.Key]string{pod(1): `1`, api.NodeKey("a"): `2`}, 5*time.Second)
	stop()

	second := b.Publisher()
	second.Settle(api.KindPods)
	second.Put(doc(api.SourcesKey(api.KindPods), `3`), time.Now())
	start(t, second.Run)
	m.eventually(t, map[api.Key]string{api.SourcesKey(api.KindPods): `3`, api.NodeKey("a"): `2`}, 5*time.Second)
}

func TestWritesOfOthersAreUndone(t *testing.T) {
	config := Config{tuning: silent()}
	config.tuning.publisherPoll = 50 * time.Millisecond
	b := open(t, config)
	p, m := b.Publisher(), newModel()
	start(t, p.Run, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	p.Settle(api.KindPods)
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)

	o, err := p.bucket.open(context.Background())
	require.NoError(t, err)
	_, err = o.kv.Put(context.Background(), pod(1).String(), []byte(`0`))
	require.NoError(t, err)
	_, err = o.kv.Put(context.Background(), pod(2).String(), []byte(`0`))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(m.documents()) == 2 || m.documents()[pod(1)] == `0` },
		5*time.Second, time.Millisecond)
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
	assert.InDelta(t, 1, testutil.ToFloat64(b.metrics.refills.WithLabelValues("foreign write")), 0)
}

func TestADocumentThatIsTooLargeHoldsNobodyUp(t *testing.T) {
	b := open(t, Config{})
	p, m := b.Publisher(), newModel()
	start(t, p.Run, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	p.Put(api.Document{Key: pod(2), JSON: bytes.Repeat([]byte(" "), 5<<20)}, time.Now())
	p.Put(doc(pod(3), `3`), time.Now())
	m.eventually(t, map[api.Key]string{pod(1): `1`, pod(3): `3`}, 5*time.Second)
	assert.InDelta(t, 1, testutil.ToFloat64(b.metrics.failures.WithLabelValues("refused")), 0)
	p.Put(doc(pod(2), `2`), time.Now())
	m.eventually(t, map[api.Key]string{pod(1): `1`, pod(2): `2`, pod(3): `3`}, 5*time.Second)
}

func TestThePublisherShowsThatItLives(t *testing.T) {
	b := open(t, Config{tuning: tuning{heartbeat: 20 * time.Millisecond}})
	m := newModel()
	start(t, b.Publisher().Run, follow(b, m))
	revision := func() uint64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.served[api.PublisherKey()].Revision
	}
	require.Eventually(t, func() bool { return revision() >= 5 }, 5*time.Second, 5*time.Millisecond)
}

func TestTheServerMayComeUpLast(t *testing.T) {
	server := bustest.Start(t)
	server.Stop()
	b := open(t, Config{URL: server.URL(), tuning: tuning{reconnectWait: 20 * time.Millisecond}})
	p, m := b.Publisher(), newModel()
	start(t, p.Run, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	p.Emit(event(1))
	time.Sleep(50 * time.Millisecond)
	server.Resume()
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
}

func TestWhatIsNotWantedAnyMoreIsNotSent(t *testing.T) {
	b := open(t, Config{tuning: silent()})
	p, m := b.Publisher(), newModel()
	for i := range 1000 {
		p.Put(doc(pod(1), fmt.Sprint(i)), time.Now())
	}
	start(t, p.Run, follow(b, m))
	m.eventually(t, map[api.Key]string{pod(1): `999`}, 5*time.Second)
	assert.Equal(t, uint64(2), bucketState(t, b).last, "one put and the mark")
	assert.InDelta(t, 999, testutil.ToFloat64(b.metrics.coalesced), 0)
}
