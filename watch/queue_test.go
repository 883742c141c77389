package watch

import (
	"maps"
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
	q.add(a, now) // what changes after the barrier does not hold it up
	q.done(a)
	require.False(t, reached)
	key, _, _ := q.next()
	require.Equal(t, b, key)
	q.done(b)
	require.True(t, reached)
	require.Contains(t, q.causes, a)
}

// Whatever is added and done in whatever order, a barrier is reached exactly when each key of its time was worked on from
// a beginning after its last addition before the barrier.
func TestBarriersAreNeitherEarlyNorLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		defer q.shut()
		added, begun, published := map[api.Key]int{}, map[api.Key]int{}, map[api.Key]int{}
		var working []api.Key
		var wanted map[api.Key]int // what the barrier waits for; nil without one
		reached := true
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "next", "done", "barrier"}).Draw(t, "step") {
			case "add":
				key := api.NodeKey(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key"))
				added[key]++
				q.add(key, cause{received: time.Now()})
			case "next":
				if q.len() > 0 {
					key, _, _ := q.next()
					begun[key] = added[key]
					working = append(working, key)
				}
			case "done":
				if len(working) > 0 {
					key := working[0]
					working = working[1:]
					published[key] = begun[key]
					q.done(key)
				}
			case "barrier":
				if reached {
					wanted, reached = maps.Clone(added), false
					q.barrier(api.KindNodes, func() { reached = true })
				}
			}
			if wanted != nil && !reached {
				require.False(t, satisfied(published, wanted), "late")
			} else if wanted != nil {
				require.True(t, satisfied(published, wanted), "early")
			}
		}
	})
}

func satisfied(published, wanted map[api.Key]int) bool {
	for key, version := range wanted {
		if published[key] < version {
			return false
		}
	}
	return true
}
