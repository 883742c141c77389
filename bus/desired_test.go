package bus

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

// drain carries out all that is queued on a bucket that never fails, and returns it in words.
func drain(d *desired, held map[api.Key][]byte) (done []string) {
	for {
		t := d.next()
		switch {
		case t == nil:
			return done
		case t.mark:
			done = append(done, "mark")
		case t.document == nil:
			done = append(done, "settle "+string(t.settle))
			var keys []api.Key
			for key := range held {
				if key.Kind == t.settle {
					keys = append(keys, key)
				}
			}
			for _, purge := range d.unwanted(keys) {
				done = append(done, "purge "+purge.key.ID)
				delete(held, purge.key)
				d.acknowledged(purge)
			}
		case t.json == nil:
			done = append(done, "purge "+t.key.ID)
			delete(held, t.key)
			d.acknowledged(t)
		default:
			done = append(done, fmt.Sprintf("put %s %s", t.key.ID, t.json))
			held[t.key] = t.json
			d.acknowledged(t)
		}
	}
}

func TestDesiredKeepsOrderAndTheNewest(t *testing.T) {
	d, held, now := newDesired(), map[api.Key][]byte{}, time.Now()
	sources := api.SourcesKey(api.KindPods)
	assert.False(t, d.set(sources, []byte(`no`), now))
	assert.False(t, d.set(pod(1), []byte(`1`), now))
	assert.False(t, d.set(pod(2), []byte(`2`), now))
	assert.True(t, d.set(pod(1), []byte(`3`), now), "overtakes")
	d.settle(api.KindPods)
	assert.True(t, d.set(sources, []byte(`yes`), now))
	assert.Equal(t, []string{"put ml/p1 3", "put ml/p2 2", "settle pods", "put pods yes"}, drain(d, held),
		"a document keeps its place, a statement comes after what it is about")

	assert.False(t, d.set(pod(1), []byte(`3`), now))
	assert.Empty(t, drain(d, held), "nothing changed")
	d.set(pod(1), nil, now)
	d.set(pod(1), nil, now)
	assert.Equal(t, []string{"purge ml/p1"}, drain(d, held))
	assert.NotContains(t, d.documents, pod(1), "a purge that was acknowledged is forgotten")
}

func TestDesiredRefillsWithWhatDiffers(t *testing.T) {
	d, now := newDesired(), time.Now()
	d.set(api.SourcesKey(api.KindPods), []byte(`s`), now)
	d.set(pod(1), []byte(`1`), now)
	d.set(pod(2), []byte(`2`), now)
	d.set(pod(3), nil, now)
	d.set(pod(4), nil, now)
	d.settle(api.KindPods)
	held := map[api.Key][]byte{
		pod(1): []byte(`1`), pod(2): []byte(`old`), pod(3): []byte(`3`), pod(5): []byte(`5`), api.NodeKey("n"): []byte(`n`),
	}
	puts, purges := d.refill(held)
	assert.Equal(t, []int{2, 2}, []int{puts, purges})
	done := drain(d, held)
	require.Len(t, done, 5)
	assert.ElementsMatch(t, []string{"put ml/p2 2", "purge ml/p3", "purge ml/p5"}, done[:3])
	assert.Equal(t, []string{"put pods s", "mark"}, done[3:])
	assert.Contains(t, held, api.NodeKey("n"), "of a kind that is not settled")

	// The bucket is gone.
	puts, purges = d.refill(nil)
	assert.Equal(t, []int{3, 0}, []int{puts, purges})
}

// TestDesiredConverges lets a bucket lose tasks, contents and all, and finds it as desired after a refill.
func TestDesiredConverges(t *testing.T) {
	keys := []api.Key{pod(1), pod(2), pod(3), api.NodeKey("a"), api.SourcesKey(api.KindPods)}
	rapid.Check(t, func(t *rapid.T) {
		d, held, want := newDesired(), map[api.Key][]byte{}, map[api.Key]string{}
		var flying []*task
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				key := rapid.SampledFrom(keys).Draw(t, "key")
				json := rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "json")
				if json == "" {
					delete(want, key)
					d.set(key, nil, time.Now())
				} else {
					want[key] = json
					d.set(key, []byte(json), time.Now())
				}
			},
			"send": func(*rapid.T) {
				next := d.next()
				if next == nil || next.document == nil {
					return
				}
				if next.json == nil {
					delete(held, next.key)
				} else {
					held[next.key] = next.json
				}
				flying = append(flying, next)
			},
			"acknowledge": func(*rapid.T) {
				if len(flying) > 0 {
					d.acknowledged(flying[0])
					flying = flying[1:]
				}
			},
			"foreign": func(t *rapid.T) { held[rapid.SampledFrom(keys).Draw(t, "key")] = []byte("foreign") },
			"lose":    func(t *rapid.T) { delete(held, rapid.SampledFrom(keys).Draw(t, "key")) },
			"check": func(t *rapid.T) {
				d.settle(api.KindPods)
				d.settle(api.KindNodes)
				d.settle(api.KindSources)
				flying = nil
				d.refill(held)
				drain(d, held)
				require.Len(t, held, len(want))
				for key, json := range want {
					require.True(t, bytes.Equal(held[key], []byte(json)), "%s: %s, want %s", key, held[key], json)
				}
				for key, doc := range d.documents {
					require.True(t, doc.sure && doc.due == nil && doc.json != nil, "%s is left over", key)
				}
			},
		})
	})
}
