package automation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/view"
)

// TestTheBucketIsTheListInTheEnd is the law: whatever happens to documents and rights, in the end the account holds what a list
// shows; and nothing that no sight of the caller's showed is ever in it.
func TestTheBucketIsTheListInTheEnd(t *testing.T) {
	m := newMinistry(t)
	m.validity = 30 * time.Millisecond
	b, v := bareBus(t), view.New(view.Options{Retention: time.Hour})
	m.view = v
	g := runAutomation(t, b, v, Options{Tokens: m, Rights: m, Grace: time.Millisecond})
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		user := fmt.Sprintf("user-%d", run)
		epochs, revision := 1, uint64(0)
		apply := func(entries ...api.Entry) { v.Apply(fmt.Sprintf("e%d-%d", run, epochs), entries, true) }
		key := rapid.Custom(func(t *rapid.T) api.Key {
			namespace, n := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "namespace"), rapid.IntRange(0, 3).Draw(t, "n")
			return rapid.SampledFrom([]api.Key{
				deployment(namespace, n), api.PodKey(namespace, fmt.Sprint("pod.", n)), api.NodeKey(fmt.Sprint("node.", n)), api.ClusterKey(),
			}).Draw(t, "key")
		})
		var ever []*api.Sight
		allow := func(t *rapid.T) {
			sight := sees(rapid.Bool().Draw(t, "nodes"), rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.ID).Draw(t, "namespaces")...)
			ever = append(ever, sight)
			m.allow(user, sight)
		}
		change := func(t *rapid.T) {
			revision++
			e := api.Entry{Key: key.Draw(t, "key"), Revision: revision, Time: time.Now()}
			if rapid.IntRange(0, 2).Draw(t, "delete") > 0 {
				e.JSON = fmt.Appendf(nil, `{"revision":%d}`, revision)
			}
			apply(e)
		}
		allow(t)
		apply()
		for range rapid.IntRange(0, 10).Draw(t, "before") {
			change(t)
		}
		nc, err := g.connect(user)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, _ := jetstream.New(nc)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w := watchOf(ctx, nc, js)
		actions := map[string]func(*rapid.T){
			"change": change,
			"rights": allow,
			"epoch": func(*rapid.T) {
				epochs++
				revision = 0
				apply()
			},
			"pause": func(*rapid.T) { time.Sleep(20 * time.Millisecond) },
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			actions[rapid.SampledFrom(slices.Sorted(maps.Keys(actions))).Draw(t, "action")](t)
		}
		var want, have map[string]string
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			want, have = shown(t, v, ever[len(ever)-1]), w.holds()
			if maps.Equal(want, have) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("want %v, have %v", want, have)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for text := range w.ever {
			k, err := api.ParseKey(text)
			if err != nil || !slices.ContainsFunc(ever, func(s *api.Sight) bool { return s.Includes(k.Cell()) }) {
				t.Fatalf("%s was never to be seen", text)
			}
		}
	})
}

func TestEventLogKeepsWhatTheStreamKeeps(t *testing.T) {
	l := newEventLog(time.Hour, 1000)
	subject := func(i int) string { return eventsPrefix + deployment("ml", i).String() + ".created" }
	body := make([]byte, 100)
	l.take("a", 1, eventsPrefix+api.ClusterKey().String()+".changed", body, time.Now())
	l.take("a", 2, "kubefoundry.events.what", body, time.Now())
	for i := range 20 {
		l.take("a", uint64(10+i), subject(i), body, time.Now())
	}
	events, next, more := l.since(position{}, 3)
	require.Len(t, events, 3)
	assert.True(t, more)
	assert.LessOrEqual(t, l.bytes, int64(1000))
	rest, end, more := l.since(next, 100)
	assert.False(t, more)
	assert.Equal(t, subject(19), rest[len(rest)-1].subject)
	assert.Equal(t, position{"a", 29}, end)
	none, same, _ := l.since(end, 100)
	assert.Empty(t, none)
	assert.Equal(t, end, same)

	l.take("b", 1, subject(1), body, time.Now().Add(-2*time.Hour))
	l.take("b", 2, subject(2), body, time.Now())
	events, _, _ = l.since(end, 100)
	require.Len(t, events, 1, "all of the new epoch that is not too old")
	assert.Equal(t, uint64(2), events[0].sequence)
}

func bareBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Listen: bus.Listen{Address: "127.0.0.1:0"}}, nop(), nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}
