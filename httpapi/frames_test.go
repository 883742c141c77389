package httpapi

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	sse "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// TestAFrameThatIsOutOfDateIsNotShared: one who was slow to render must not hand on what the beat since has made old, for
// those who take it have that beat behind them.
func TestAFrameThatIsOutOfDateIsNotShared(t *testing.T) {
	f := newFrames(view.New(view.Options{}))
	k := frameKey{scope: "x"}
	_, round, ok := f.find(k)
	require.False(t, ok)
	f.forget()
	f.keep(k, frame{event: &sse.Event{Data: []byte("old")}}, round)
	_, round, ok = f.find(k)
	require.False(t, ok)
	f.keep(k, frame{event: &sse.Event{Data: []byte("new")}}, round)
	fr, _, ok := f.find(k)
	require.True(t, ok)
	require.Equal(t, "new", string(fr.event.Data))
	f.keep(k, frame{event: &sse.Event{Data: []byte("newer")}}, round)
	require.Equal(t, 3, f.bytes, "counted once")
	f.keep(frameKey{scope: "y"}, frame{event: &sse.Event{Data: make([]byte, maxSharedBytes)}}, round)
	require.Len(t, f.shared, 1)
}

// TestSilenceIsToldToNewReaders: that nobody publishes shows by time alone, without a change that would clear what is shared.
func TestSilenceIsToldToNewReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, view: view.New(view.Options{}), epoch: "e1"}
		c.fill()
		f := newFrames(c.view)
		newcomer := func() frame {
			r, err := c.view.Snapshot(api.Everything())
			require.NoError(t, err)
			fr, _, err := f.after(r, view.Scope{Sight: api.Everything()}, "all")
			require.NoError(t, err)
			return fr
		}
		require.Empty(t, newcomer().states[api.KindPods].Error)
		time.Sleep(time.Minute)
		require.Contains(t, newcomer().states[api.KindPods].Error, "up to date since")
	})
}

// TestAFrameIsJSON whatever an id holds.
func TestAFrameIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		put := &api.Entry{Key: api.Key{Kind: api.KindPods, ID: id}, JSON: []byte(`{"a":1}`)}
		gone := &api.Entry{Key: api.Key{Kind: api.KindPods, ID: id}}
		var event api.ChangesEvent
		data := appendChanges(nil, []*api.Entry{put, gone})
		require.NoError(t, json.Unmarshal(data, &event))
		require.NotContains(t, string(data), "\n")
		require.Len(t, event.Changes, 2)
		require.Equal(t, id, event.Changes[0].Id)
		require.Equal(t, api.ChangeOpDelete, event.Changes[1].Op)
	})
}

// TestPulse: the first change at once, the next ones together.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, view: view.New(view.Options{}), epoch: "e1"}
		forgotten := 0
		p := newPulse(50*time.Millisecond, func() { forgotten++ })
		go p.run(t.Context(), c.view)
		synctest.Wait()
		for range 3 {
			began := time.Now()
			beat := p.wait()
			c.beat()
			<-beat
			require.Zero(t, time.Since(began), "at once")
			beat = p.wait()
			for range 10 {
				time.Sleep(time.Millisecond)
				c.beat()
			}
			<-beat
			require.Equal(t, 50*time.Millisecond, time.Since(began))
			beat = p.wait()
			select {
			case <-beat:
				t.Fatal("all of them were one beat")
			case <-time.After(time.Second):
			}
		}
		require.Equal(t, 7, forgotten, "before each beat, and once at the start")
	})
}
