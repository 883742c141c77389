package bus

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

// heard is the events of each epoch that a tap handed over.
type heard struct {
	mu     sync.Mutex
	epochs []string
	events map[string][]string
}

func (h *heard) take(epoch string, _ uint64, subject string, _ []byte, _ time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.events == nil {
		h.events = map[string][]string{}
	}
	if h.events[epoch] == nil {
		h.epochs = append(h.epochs, epoch)
	}
	h.events[epoch] = append(h.events[epoch], subject)
}

func (h *heard) last() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.epochs) == 0 {
		return nil
	}
	return append([]string(nil), h.events[h.epochs[len(h.epochs)-1]]...)
}

func TestEventsAreFollowedThroughRestarts(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "file": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{StoreDir: dir, tuning: tuning{reconnectWait: 10 * time.Millisecond, followerPoll: 50 * time.Millisecond}})
			p, h := b.Publisher(), &heard{}
			start(t, p.Run, func(ctx context.Context) error { return b.FollowEvents(ctx, h.take) })
			emit := func(from, to int) (want []string) {
				for i := from; i < to; i++ {
					e := api.Event{Key: pod(i), Change: api.EventCreated, Time: time.Now(), Document: []byte(strconv.Itoa(i))}
					p.Emit(e)
					want = append(want, eventSubject(e))
				}
				return want
			}
			want := emit(0, 300)
			require.Eventually(t, func() bool { return len(h.last()) == len(want) }, 10*time.Second, time.Millisecond)
			assert.Equal(t, want, h.last())

			b.server.server.Shutdown()
			b.server.server.WaitForShutdown()
			require.NoError(t, b.server.start(context.Background(), zap.NewNop()))
			more := emit(300, 310)
			if dir != "" {
				more = append(want, more...) // the same stream, and nothing twice
			}
			require.Eventually(t, func() bool { return len(h.last()) == len(more) }, 20*time.Second, time.Millisecond)
			assert.Equal(t, more, h.last())

			require.NoError(t, b.publishing.js.DeleteStream(t.Context(), eventsStream))
			again := &heard{}
			start(t, func(ctx context.Context) error { return b.FollowEvents(ctx, again.take) })
			time.Sleep(200 * time.Millisecond)
			assert.Empty(t, again.last())
		})
	}
}
