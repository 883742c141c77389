package watch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestAQueuedKeyKeepsItsEarliestCause(t *testing.T) {
	q := newQueue()
	defer q.shut()
	start := time.Now()
	key := api.NodeKey("a")
	q.add(key, cause{received: start.Add(time.Second), initial: true})
	q.add(key, cause{received: start})
	q.add(key, cause{received: start.Add(time.Minute), initial: true})
	got, c, ok := q.next()
	require.True(t, ok)
	require.Equal(t, key, got)
	require.Equal(t, cause{received: start}, c, "the first receipt; and something did happen")
	require.Zero(t, q.len())
	q.done(key)
}

func TestABarrierIsReachedWhenWhatWaitedIsDone(t *testing.T) {
	q := newQueue()
	defer q.shut()
	now := cause{received: time.Now()}
	reached := false
	q.barrier(api.KindNodes, func() { reached = true })
	require.True(t, reached, "nothing to wait for")

	a, b := api.NodeKey("a"), api.NodeKey("b")
	q.add(a, now)
	working, _, _ := q.next()
	require.Equal(t, a, working)
	q.add(b, now)
	q.add(api.RuntimeKey("other"), now)
	reached = false
	q.barrier(api.KindNodes, func() { reached = true })
	q.add(a, now) // changed again while in work
	q.done(a)
	require.False(t, reached)
	for !reached {
		key, _, _ := q.next()
		if key.Kind == api.KindRuntimes {
			require.False(t, reached)
		}
		q.done(key)
	}
	require.NotContains(t, q.causes, a)
	require.NotContains(t, q.causes, b)
}

// Whatever is added and done in whatever order, a barrier is reached exactly when the keys of its time are done.
func TestBarriersAreNeitherEarlyNorLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		defer q.shut()
		var left map[api.Key]bool // by a second account; nil without a barrier
		reached := true
		pending, working := map[api.Key]bool{}, []api.Key{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "next", "done", "barrier"}).Draw(t, "step") {
			case "add":
				key := api.NodeKey(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key"))
				q.add(key, cause{received: time.Now()})
				pending[key] = true
			case "next":
				if q.len() == 0 {
					continue
				}
				key, _, _ := q.next()
				delete(pending, key)
				working = append(working, key)
			case "done":
				if len(working) == 0 {
					continue
				}
				key := working[0]
				working = working[1:]
				if !pending[key] {
					delete(left, key)
				}
				q.done(key)
			case "barrier":
				if !reached {
					continue
				}
				left, reached = map[api.Key]bool{}, false
				for key := range pending {
					left[key] = true
				}
				for _, key := range working {
					left[key] = true
				}
				q.barrier(api.KindNodes, func() { reached = true })
			}
			if left != nil {
				require.Equal(t, len(left) == 0, reached)
			}
		}
	})
}
