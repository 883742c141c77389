package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/view"
)

// quick makes the intervals those of a test.
func quick(o *StreamOptions) { o.Coalesce, o.Bookmark = 5*time.Millisecond, shortly }

func reasonOf(t *testing.T, e streamclient.Event) api.ResetEventReason {
	var data api.ResetEvent
	require.NoError(t, json.Unmarshal(e.Data, &data))
	return data.Reason
}

func large(name string, size int) api.Deployment {
	d := deployment("ml", "kaito", name)
	d.Message = strings.Repeat("x", size)
	return d
}

func gpus(n int) func(json.RawMessage) bool {
	return func(doc json.RawMessage) bool {
		var d api.Deployment
		return json.Unmarshal(doc, &d) == nil && d.Gpus == n
	}
}

// TestALife is a stream from its first byte on.
func TestALife(t *testing.T) {
	c := serve(t, stream(quick)).fill()
	for i := range 30 {
		c.put(large(fmt.Sprint("d", i), 10<<10)) // several frames
	}
	f := c.open(t, "")
	require.Equal(t, "text/event-stream", f.header.Get("Content-Type"))
	require.Equal(t, "no-cache, no-transform", f.header.Get("Cache-Control"))
	require.Equal(t, "no", f.header.Get("X-Accel-Buffering"))
	require.Equal(t, "nosniff", f.header.Get("X-Content-Type-Options"))
	require.Empty(t, f.header.Values("Content-Encoding"))

	first := f.next()
	require.Equal(t, streamclient.EventReset, first.Type)
	require.Equal(t, api.ResetEventReasonStart, reasonOf(t, first))
	require.Equal(t, retryAfterCut, f.reader.Retry())
	synced := f.until(streamclient.EventSynced)
	require.Equal(t, []string{"reset", "changes", "synced"}, f.types())
	frames := f.events[1 : len(f.events)-1]
	require.Greater(t, len(frames), 3)
	for i, e := range frames {
		if i < len(frames)-1 {
			require.Empty(t, e.Cursor, "nobody can go on from the middle of a snapshot")
		}
		require.LessOrEqual(t, len(e.Data), maxFrameBytes+maxFrameBytes/4)
	}
	cursor, _ := c.view.Cursor()
	require.Equal(t, cursor.String(), synced.Cursor)
	require.Equal(t, c.everything(t, view.Scope{}), f.held)
	kinds, err := synced.Synced()
	require.NoError(t, err)
	require.Equal(t, api.KindState{Synced: true, Count: 34}, kinds.Kinds["deployments"])

	c.put(node("gpu-a", 8, 8))
	change := f.until(streamclient.EventChanges)
	require.Equal(t, "e1-"+fmt.Sprint(c.revision), change.Cursor)
	c.remove(api.PodKey("ml", "llama-1"))
	deleted := f.until(streamclient.EventChanges)
	require.Equal(t, []api.Change{{Op: api.ChangeOpDelete, Kind: api.KindPods, Id: "ml/llama-1"}}, f.changes(deleted))

	// A bookmark moves the cursor past what is not for clients.
	c.beat()
	for {
		e := f.until(streamclient.EventBookmark)
		var data api.BookmarkEvent
		require.NoError(t, json.Unmarshal(e.Data, &data))
		require.Equal(t, e.Cursor, data.Cursor)
		if e.Cursor == "e1-"+fmt.Sprint(c.revision) {
			break
		}
	}
	require.Equal(t, c.everything(t, view.Scope{}), f.held)
}

func TestAFilterBelongsToTheConnection(t *testing.T) {
	c := serve(t, stream(quick)).fill()
	for query, scope := range map[string]view.Scope{
		"":                                     {},
		"?namespace=ml":                        {Namespace: "ml"},
		"?namespace=none":                      {Namespace: "none"},
		"?kinds=pods":                          {Kinds: []api.Kind{api.KindPods}},
		"?kinds=pods,nodes":                    {Kinds: []api.Kind{api.KindPods, api.KindNodes}},
		"?kinds=nodes,pods,pods":               {Kinds: []api.Kind{api.KindPods, api.KindNodes}},
		"?kinds=deployments&namespace=chat":    {Kinds: []api.Kind{api.KindDeployments}, Namespace: "chat"},
		"?kinds=nodes,capacity&namespace=chat": {Kinds: []api.Kind{api.KindNodes, api.KindCapacity}, Namespace: "chat"},
	} {
		t.Run(query, func(t *testing.T) {
			f := c.open(t, query)
			kinds, err := f.until(streamclient.EventSynced).Synced()
			require.NoError(t, err)
			require.Equal(t, c.everything(t, scope), f.held)
			scope.Sight = api.Everything()
			states, err := c.view.States(scope)
			require.NoError(t, err)
			require.Equal(t, stateMap(states), kinds.Kinds)
		})
	}
	f := c.open(t, "?namespace=chat")
	f.until(streamclient.EventSynced)
	require.Contains(t, f.held, key{api.KindNodes, "gpu-a"}, "what belongs to no namespace is in each")
	require.NotContains(t, f.held, key{api.KindDeployments, "ml/kaito/llama"})

	// Readers at the same place with other filters do not get each other's frames.
	all, chat := c.open(t, "?kinds=deployments"), c.open(t, "?kinds=deployments&namespace=chat")
	all.until(streamclient.EventSynced)
	chat.until(streamclient.EventSynced)
	for i := range 20 {
		ours, theirs := deployment("chat", "kaito", "phi"), deployment("ml", "kaito", "llama")
		ours.Gpus, theirs.Gpus = 100+i, 100+i
		c.put(theirs, ours)
		all.untilHeld(api.KindDeployments, "ml/kaito/llama", gpus(100+i))
		chat.untilHeld(api.KindDeployments, "chat/kaito/phi", gpus(100+i))
		require.Len(t, chat.held, 1)
	}
}

func TestALargeDocumentIsOneFrame(t *testing.T) {
	c := serve(t, stream(quick)).fill()
	c.put(large("huge", 300<<10))
	f := c.open(t, "?kinds=deployments")
	f.until(streamclient.EventSynced)
	var sizes []int
	for _, e := range f.events {
		sizes = append(sizes, len(e.Data))
		if len(e.Data) > maxFrameBytes {
			require.Len(t, f.changes(e), 1)
		}
	}
	require.Contains(t, fmt.Sprint(sizes), " 307", "one is large")
	require.Equal(t, c.everything(t, view.Scope{Kinds: []api.Kind{api.KindDeployments}}), f.held)
}

func TestResume(t *testing.T) {
	c := serve(t, stream(quick), retention(time.Minute))
	c.at = time.Now().Add(-time.Hour)
	c.fill()
	horizon := c.revision
	c.remove(api.PodKey("ml", "llama-0")) // long ago: forgotten with the next change
	c.at = time.Now()
	c.beat()
	here := fmt.Sprint("e1-", c.revision)
	c.put(deployment("ml", "kaito", "new"))
	for name, tt := range map[string]struct {
		since, header string
		reason        api.ResetEventReason
		want          []string
	}{
		"by the query":          {since: here, want: []string{"changes", "synced"}},
		"by the header":         {header: here, want: []string{"changes", "synced"}},
		"the header wins":       {header: here, since: "other-1", want: []string{"changes", "synced"}},
		"the header wins again": {header: "other-1", since: here, reason: api.ResetEventReasonUnknownEpoch},
		"nothing is new":        {since: fmt.Sprint("e1-", c.revision), want: []string{"synced"}},
		"garbage":               {header: "1' OR '1'='1", reason: api.ResetEventReasonUnknownEpoch},
		"garbage at length":     {header: strings.Repeat("x", 30_000), reason: api.ResetEventReasonUnknownEpoch},
		"another epoch":         {since: "e0-1", reason: api.ResetEventReasonUnknownEpoch},
		"the future":            {since: "e1-4000000", reason: api.ResetEventReasonFutureRevision},
		"too old":               {since: fmt.Sprint("e1-", horizon), reason: api.ResetEventReasonTooOld},
		"too old by far":        {since: "e1-0", reason: api.ResetEventReasonTooOld},
		"nowhere":               {reason: api.ResetEventReasonStart},
	} {
		t.Run(name, func(t *testing.T) {
			query, header := "", []string{}
			if tt.since != "" {
				query = "?since=" + tt.since
			}
			if tt.header != "" {
				header = []string{"Last-Event-ID", tt.header}
			}
			f := c.open(t, query, header...)
			f.until(streamclient.EventSynced)
			if tt.reason == "" {
				require.Equal(t, tt.want, f.types())
				return
			}
			require.Equal(t, []string{"reset", "changes", "synced"}, f.types())
			require.Equal(t, tt.reason, reasonOf(t, f.events[0]))
			require.Equal(t, c.everything(t, view.Scope{}), f.held)
		})
	}
}

func TestANewEpochWhileConnected(t *testing.T) {
	c := serve(t, stream(quick)).fill()
	f := c.open(t, "")
	f.until(streamclient.EventSynced)
	c.epoch, c.revision = "e2", 0
	c.apply(change{api.NodeKey("only"), node("only", 1, 0)}, change{api.SourcesKey(api.KindNodes), api.KindState{Synced: true}}, change{api.PublisherKey(), api.PublisherState{}})
	require.Equal(t, api.ResetEventReasonNewEpoch, reasonOf(t, f.until(streamclient.EventReset)))
	require.Equal(t, "e2-3", f.until(streamclient.EventSynced).Cursor)
	require.Equal(t, c.everything(t, view.Scope{}), f.held)
	require.Len(t, f.held, 1)
}

// TestEveryReaderIsToldWhatIsKnown: a change of states alone reaches all of many readers who share what is rendered.
func TestEveryReaderIsToldWhatIsKnown(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Coalesce, o.Bookmark = 5*time.Millisecond, time.Hour })).fill()
	followers := make([]*follower, 20)
	for i := range followers {
		followers[i] = c.open(t, "")
		followers[i].until(streamclient.EventSynced)
		c.put(node("gpu-a", 8, i%8)) // they come at different times
	}
	for round := range 10 {
		why := fmt.Sprint("broken ", round)
		if round%2 == 0 {
			c.put(node("gpu-b", 4, round%4))
		}
		c.state(api.KindPods, api.KindState{Synced: true, Error: why})
		for _, f := range followers {
			for {
				kinds, err := f.until(streamclient.EventSynced).Synced()
				require.NoError(t, err)
				if kinds.Kinds["pods"].Error == why {
					break
				}
			}
		}
	}
	require.Greater(t, c.metric("kubefoundry_stream_frames_shared_total"), 19*5*0.5, "readers at the same place share, however they came there")
}

// TestABurstOfOneKeyIsAFewFrames: the first at once, and the last for certain.
func TestABurstOfOneKeyIsAFewFrames(t *testing.T) {
	const rest = 500 * time.Millisecond // long enough to tell, on a busy machine too, from what it takes to send
	c := serve(t, stream(func(o *StreamOptions) { o.Coalesce, o.Bookmark = rest, time.Hour })).fill()
	f := c.open(t, "?kinds=deployments")
	f.until(streamclient.EventSynced)
	time.Sleep(2 * rest) // a pulse has nothing to rest from
	before, began := len(f.events), time.Now()
	burst := func(n int) {
		d := deployment("ml", "kaito", "llama")
		d.Gpus = n
		c.put(d)
	}
	burst(1)
	f.untilHeld(api.KindDeployments, "ml/kaito/llama", func(doc json.RawMessage) bool { return !gpus(0)(doc) && len(f.events) > before })
	require.Less(t, time.Since(began), rest*9/10, "not only after the pulse's rest")
	for n := 2; n <= 1000; n++ {
		burst(n)
	}
	f.untilHeld(api.KindDeployments, "ml/kaito/llama", gpus(1000))
	frames := len(f.events) - before
	require.LessOrEqual(t, frames, 3+int(time.Since(began)/rest))
}

func TestBye(t *testing.T) {
	for name, tt := range map[string]struct {
		reason api.ByeEventReason
		age    time.Duration
		spread time.Duration
	}{
		"shutdown": {api.ByeEventReasonShutdown, time.Hour, retryAfterShutdown},
		"max-age":  {api.ByeEventReasonMaxAge, 10 * shortly, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, stream(func(o *StreamOptions) { o.MaxAge = tt.age })).fill()
			began := time.Now()
			waits := map[time.Duration]bool{}
			var followers []*follower
			for range 10 {
				f := c.open(t, "")
				f.until(streamclient.EventSynced)
				followers = append(followers, f)
			}
			if tt.reason == api.ByeEventReasonShutdown {
				c.server.Close()
			}
			for _, f := range followers {
				e := f.until(streamclient.EventBye)
				bye, err := e.Bye()
				require.NoError(t, err)
				require.Equal(t, tt.reason, bye.Reason)
				cursor, _ := c.view.Cursor()
				require.Equal(t, cursor.String(), e.Cursor)
				wait := time.Duration(bye.RetryMs) * time.Millisecond
				require.Equal(t, wait, f.reader.Retry(), "an EventSource is told too")
				require.GreaterOrEqual(t, wait, time.Second)
				require.LessOrEqual(t, wait, time.Second+tt.spread)
				waits[wait] = true
				_, err = f.reader.Next()
				require.ErrorIs(t, err, io.EOF, "and the connection ends in order")
			}
			if tt.spread > 0 {
				require.Greater(t, len(waits), 5, "they do not come back all at once")
				e := c.get(streamPath).failure(t)
				require.Equal(t, api.ErrorCodeUnavailable, e.Code)
			} else {
				require.GreaterOrEqual(t, time.Since(began), 8*shortly)
			}
			require.InDelta(t, 0, c.metric("kubefoundry_stream_clients"), 0)
			require.InDelta(t, 10, c.metric("kubefoundry_stream_ended_total"), 0)
		})
	}
}

// TestByeInsideASnapshot promises nothing: who is still behind when the server closes is told no cursor, and no bookmark.
func TestByeInsideASnapshot(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Bookmark = time.Millisecond }), smallBuffers).fill()
	for i := range 100 {
		c.put(large(fmt.Sprint("d", i), 200<<10))
	}
	var followers []*follower
	for range 4 { // who is slower than byeTime is cut, and so would the last of many be on a busy machine
		f := c.open(t, "")
		_, err := f.read()
		require.NoError(t, err)
		followers = append(followers, f)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.server.Close()
	}()
	<-c.server.closing.Done()
	for _, f := range followers {
		for {
			e, err := f.read()
			require.NoError(t, err)
			if e.Type == streamclient.EventBye {
				require.Empty(t, e.Cursor)
				break
			}
		}
		require.Equal(t, []string{"reset", "changes", "bye"}, f.types())
	}
	<-closed
}

// TestNoChangeIsSleptThrough: each change comes while the stream is about to wait for the next one.
func TestNoChangeIsSleptThrough(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Coalesce, o.Bookmark = time.Nanosecond, time.Hour })).fill()
	f := c.open(t, "?kinds=deployments")
	f.until(streamclient.EventSynced)
	for i := range 500 {
		d := deployment("ml", "kaito", "llama")
		d.Gpus = 100 + i
		c.put(d)
		f.untilHeld(api.KindDeployments, "ml/kaito/llama", gpus(100+i))
	}
}

// TestAPanicEndsOneStream and not the process.
func TestAPanicEndsOneStream(t *testing.T) {
	c := serve(t).fill()
	c.server.frames = nil
	f := c.open(t, "")
	require.Equal(t, streamclient.EventReset, f.next().Type)
	_, err := f.read()
	require.Error(t, err)
	require.Equal(t, http.StatusOK, c.get("/livez").status)
}

func TestTooManyStreams(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Max = 2 })).fill()
	first, second := c.open(t, ""), c.open(t, "")
	second.until(streamclient.EventSynced)
	a := c.get(streamPath)
	require.Equal(t, api.ErrorCodeTooManyStreams, a.failure(t).Code)
	require.Equal(t, http.StatusTooManyRequests, a.status)
	require.Equal(t, "5", a.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, c.ask(http.MethodHead, streamPath).status)
	first.close()
	require.Eventually(t, func() bool { return c.metric("kubefoundry_stream_clients") == 1 }, patience, shortly)
	c.open(t, "").until(streamclient.EventSynced)
}

// TestManyAtOnce: all come together, as after a restart, get everything, and leave nothing behind.
func TestManyAtOnce(t *testing.T) {
	many := 2000
	if testing.Short() {
		many = 200
	}
	c := serve(t, stream(func(o *StreamOptions) { o.Bookmark = time.Hour })).fill()
	c.put(large("mark", 1<<10))
	errs := make(chan error, many)
	var all, complete sync.WaitGroup
	complete.Add(many)
	for range many {
		all.Go(func() {
			err := func() error {
				var arrived sync.Once
				arrive := func() { arrived.Do(complete.Done) }
				defer arrive()
				connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.address)
				if err != nil {
					return err
				}
				defer connection.Close()
				_ = connection.SetDeadline(time.Now().Add(2 * patience))
				if _, err := io.WriteString(connection, "GET /api/stream HTTP/1.0\r\n\r\n"); err != nil {
					return err
				}
				buffered := bufio.NewReaderSize(connection, 1024)
				response, err := http.ReadResponse(buffered, nil)
				if err != nil {
					return err
				}
				defer response.Body.Close()
				reader, state := streamclient.NewReader(response.Body, ""), streamclient.NewState()
				for !state.Complete() {
					e, err := reader.Next()
					if err != nil {
						return err
					}
					if err := state.Apply(e); err != nil {
						return err
					}
				}
				if n := len(state.Documents()); n != 17 {
					return fmt.Errorf("%d documents", n)
				}
				arrive()
				complete.Wait() // all stay until the last one has everything
				return nil
			}()
			errs <- err
		})
	}
	all.Wait()
	for range many {
		require.NoError(t, <-errs)
	}
	require.Eventually(t, func() bool { return c.metric("kubefoundry_stream_clients") == 0 }, patience, shortly)
	require.InDelta(t, many, c.metric("kubefoundry_stream_ended_total"), 0)
	// What the library keeps for each is gone too; goleak sees to the goroutines.
	require.False(t, c.server.sse.StreamExists("1"))
}

// smallBuffers lets a client that does not read be felt soon, not after megabytes.
func smallBuffers(c *cluster, _ *Options) {
	c.tune = func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, connection net.Conn) context.Context {
			_ = connection.(*net.TCPConn).SetWriteBuffer(32 << 10) //nolint:forcetypeassert // of a TCP listener
			return ctx
		}
	}
}

// TestOneWhoNeverReadsHarmsNobody: it is cut, while the others get everything.
func TestOneWhoNeverReadsHarmsNobody(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Coalesce, o.WriteDeadline = 5*time.Millisecond, 2*time.Second }), smallBuffers).fill()
	followers := make([]*follower, 20)
	for i := range followers {
		followers[i] = c.open(t, "?kinds=deployments")
		followers[i].until(streamclient.EventSynced)
	}
	stalled := c.dial(t)
	require.NoError(t, stalled.(*net.TCPConn).SetReadBuffer(4096)) //nolint:forcetypeassert // of a dial
	_, err := io.WriteString(stalled, "GET /api/stream HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)

	errs := make(chan error, len(followers))
	for _, f := range followers {
		go func() {
			for {
				e, err := f.read()
				if err != nil || strings.Contains(string(e.Data), "ml/kaito/last") {
					errs <- err
					return
				}
			}
		}()
	}
	cut := func() bool { return c.metric("kubefoundry_stream_ended_total") > 0 }
	for i, deadline := 0, time.Now().Add(patience); !cut() && time.Now().Before(deadline); i++ {
		d := large(fmt.Sprint("d", i%5), 20<<10)
		d.Gpus = i
		c.put(d)
		time.Sleep(10 * time.Millisecond)
	}
	c.put(deployment("ml", "kaito", "last"))
	for range followers {
		require.NoError(t, <-errs)
	}
	families, err := c.registry.Gather()
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(families), `"stalled"`, "the one that does not read is cut")
	require.InDelta(t, 1, c.metric("kubefoundry_stream_ended_total"), 0)
	want := c.everything(t, view.Scope{Kinds: []api.Kind{api.KindDeployments}})
	for _, f := range followers {
		clear(f.held)
		last := uint64(0)
		for _, e := range f.events {
			f.fold(e)
			if cursor, err := api.ParseCursor(e.Cursor); err == nil {
				require.GreaterOrEqual(t, cursor.Revision, last)
				last = cursor.Revision
			}
		}
		require.Equal(t, want, f.held)
	}
}

// TestCutsLoseNothing: clients that are cut anywhere, in the middle of a frame too, and go on from the last cursor that they
// have read, hold in the end what everybody holds.
func TestCutsLoseNothing(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Coalesce, o.Bookmark = time.Millisecond, 10*time.Millisecond })).fill()
	rapid.Check(t, func(t *rapid.T) {
		state := streamclient.NewState()
		cursor := ""
		read := func(limit int64) error {
			ctx := c.t.Context()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+streamPath+"?kinds=deployments,pods", http.NoBody)
			require.NoError(t, err)
			if cursor != "" {
				r.Header.Set("Last-Event-ID", cursor)
			}
			response, err := c.client.Do(r)
			require.NoError(t, err)
			defer response.Body.Close()
			var body io.Reader = response.Body
			if limit > 0 {
				body = io.LimitReader(body, limit)
			}
			target := c.revision
			reader := streamclient.NewReader(body, cursor)
			for {
				e, err := reader.Next()
				if err != nil {
					return err
				}
				require.NoError(t, state.Apply(e))
				cursor = e.Cursor
				at, err := api.ParseCursor(cursor)
				if limit == 0 && err == nil && at.Revision >= target && (e.Type == "synced" || e.Type == "bookmark") {
					return nil
				}
			}
		}
		for range rapid.IntRange(0, 4).Draw(t, "cuts") {
			for range rapid.IntRange(0, 5).Draw(t, "changes") {
				d := deployment("ml", "kaito", rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name"))
				if d.Gpus = int(c.revision); rapid.Bool().Draw(t, "delete") {
					c.remove(keyOf(d))
				} else {
					c.put(d)
				}
			}
			require.Error(t, read(rapid.Int64Range(1, 3000).Draw(t, "bytes")))
		}
		require.NoError(t, read(0))
		want := c.everything(t, view.Scope{Kinds: []api.Kind{api.KindDeployments, api.KindPods}})
		have := map[key]json.RawMessage{}
		for _, d := range state.Documents() {
			have[key{d.Kind, d.ID}] = d.JSON
		}
		require.Equal(t, want, have)
	})
}

// TestClientsThatLeaveAtOnceLeaveNothing: before the first byte, at any time after, and while the server closes.
func TestClientsThatLeaveAtOnceLeaveNothing(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Coalesce, o.Bookmark = time.Millisecond, time.Millisecond })).fill()
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.address)
			if err != nil {
				return
			}
			_, _ = io.WriteString(connection, "GET /api/stream HTTP/1.1\r\nHost: x\r\n\r\n")
			time.Sleep(time.Duration(i%20) * time.Millisecond)
			connection.Close()
		})
	}
	for range 20 {
		c.put(large("d", 50<<10))
		time.Sleep(time.Millisecond)
	}
	c.server.Close()
	all.Wait()
	require.InDelta(t, 0, c.metric("kubefoundry_stream_clients"), 0)
}
