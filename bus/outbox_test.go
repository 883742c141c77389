package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus/bustest"
)

func event(i int) api.Event {
	return api.Event{Key: pod(i), Change: api.EventCreated, Time: time.Now(), Document: fmt.Appendf(nil, `{"i":%d}`, i)}
}

func TestOutboxDropsTheOldest(t *testing.T) {
	m, err := newMetrics(nil)
	require.NoError(t, err)
	o := newOutbox(4, m)
	for i := range 10 {
		o.add(event(i))
	}
	assert.InDelta(t, 6, testutil.ToFloat64(m.eventsDropped.WithLabelValues("overflow")), 0)
	var ids []string
	for _, limit := range []int{3, 3, 3} {
		for _, e := range o.take(limit) {
			ids = append(ids, e.Key.ID)
		}
	}
	assert.Equal(t, []string{"ml/p6", "ml/p7", "ml/p8", "ml/p9"}, ids)
}

// received collects the subjects of the events that the stream holds, in order.
func received(t *testing.T, b *Bus) (subjects []string) {
	t.Helper()
	// A request that is lost with the server is asked again by the caller.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	stream, err := b.following.js.Stream(ctx, eventsStream)
	if err != nil {
		return nil
	}
	for sequence := uint64(1); ; sequence++ {
		msg, err := stream.GetMsg(ctx, sequence)
		if err != nil {
			return subjects
		}
		var e cloudEvent
		require.NoError(t, json.Unmarshal(msg.Data, &e))
		require.Equal(t, e.ID, msg.Header.Get(jetstream.MsgIDHeader))
		subjects = append(subjects, msg.Subject)
	}
}

func TestEventsWaitInTheirStream(t *testing.T) {
	server := bustest.Start(t)
	b := open(t, Config{URL: server.URL(), StoreDir: "file"})
	p := b.Publisher()
	for i := range 200 {
		p.Emit(event(i))
	}
	p.Emit(event(7)) // told twice
	start(t, p.Run)
	require.Eventually(t, func() bool { return len(received(t, b)) == 200 }, 10*time.Second, 10*time.Millisecond)

	server.Restart()
	p.Emit(event(200))
	require.Eventually(t, func() bool { return len(received(t, b)) == 201 }, 10*time.Second, 10*time.Millisecond,
		"what was sent before is kept, what came meanwhile is sent")
	assert.Equal(t, "kubefoundry.events.pods.ml.ml/p200.created", received(t, b)[200])
}

func TestEventsOutliveTheirStream(t *testing.T) {
	server := bustest.Start(t)
	b := open(t, Config{URL: server.URL()})
	p := b.Publisher()
	start(t, p.Run)
	p.Emit(event(1))
	require.Eventually(t, func() bool { return len(received(t, b)) == 1 }, 10*time.Second, 10*time.Millisecond)

	require.NoError(t, b.following.js.DeleteStream(context.Background(), eventsStream))
	p.Emit(event(2))
	require.Eventually(t, func() bool { return len(received(t, b)) == 1 }, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, []string{"kubefoundry.events.pods.ml.ml/p2.created"}, received(t, b))
}
