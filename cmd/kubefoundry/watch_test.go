package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

const (
	putA   = `{"op":"put","kind":"deployments","id":"ml/kaito/a","doc":{"id":"ml/kaito/a","name":"a","namespace":"ml","provider":"kaito","phase":"Pending","message":"no \u001b[31mGPU","replicas":{"ready":0,"desired":1,"available":0},"createdAt":"2026-05-04T12:00:00Z"}}`
	runsA  = `{"op":"put","kind":"deployments","id":"ml/kaito/a","doc":{"id":"ml/kaito/a","name":"a","namespace":"ml","provider":"kaito","phase":"Running","replicas":{"ready":1,"desired":1,"available":1},"createdAt":"2026-05-04T12:00:00Z"}}`
	goneA  = `{"op":"delete","kind":"deployments","id":"ml/kaito/a"}`
	start  = "event: reset\nid: \ndata: {\"reason\":\"start\"}\n\nevent: changes\nid: \ndata: {\"changes\":[" + putA + "]}\n\n"
	inSync = "event: synced\nid: e-1\ndata: {\"kinds\":{\"deployments\":{\"synced\":true,\"count\":1}}}\n\n"
)

func changesFrame(cursor, change string) string {
	return "event: changes\nid: " + cursor + "\ndata: {\"changes\":[" + change + "]}\n\n"
}

// streamServer sends what comes through the channel, to one client at a time.
func streamServer(t *testing.T, first string) (address string, send chan<- string) {
	t.Helper()
	frames := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		text := first
		for {
			_, err := w.Write([]byte(text))
			if err == nil {
				err = http.NewResponseController(w).Flush()
			}
			if err != nil {
				return
			}
			select {
			case text = <-frames:
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, frames
}

// buffer is what a command wrote, readable while it writes.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *buffer) waitFor(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(b.String(), text) }, 10*time.Second, 5*time.Millisecond, "%s never came: %s", text, b)
}

// startWatch runs `watch` until the test ends, and returns what it writes.
func startWatch(t *testing.T, args ...string) *buffer {
	t.Helper()
	var out buffer
	root := newRootCommand(append([]string{"watch"}, args...))
	root.SetOut(&out)
	root.SetErr(&out)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- root.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended, "an interrupted watch is no failure")
	})
	return &out
}

func TestLinesForWhatIsNoTerminal(t *testing.T) {
	server, send := streamServer(t, start+inSync)
	out := startWatch(t, "--server", server)
	out.waitFor(t, "no [31mGPU\n")
	send <- changesFrame("e-2", runsA)
	out.waitFor(t, "  changed  ml/a  kaito  Running  1/1\n")
	send <- changesFrame("e-3", runsA)
	send <- changesFrame("e-4", goneA)
	out.waitFor(t, "  deleted  ml/a  kaito  Running  1/1\n")
	assert.Equal(t, 4, strings.Count(out.String(), "\n"), "a document that looks the same is not printed again:\n%s", out)
	assert.NotContains(t, out.String(), "\x1b")
}

func TestJSONLines(t *testing.T) {
	server, send := streamServer(t, start+inSync)
	out := startWatch(t, "--server", server, "-o", "json")
	send <- changesFrame("e-3", goneA+","+`{"op":"put","kind":"deployments","id":"<b>","doc":{"v":"<&>"}}`)
	send <- "event: bookmark\nid: e-4\ndata: {\"cursor\":\"e-4\",\"time\":\"2026-05-04T12:00:00Z\"}\n\n"
	out.waitFor(t, "bookmark")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 6)
	assert.Equal(t, `{"event":"reset","reason":"start"}`, lines[0])
	assert.Equal(t, `{"event":"synced","cursor":"e-1","kinds":{"deployments":{"count":1,"synced":true}}}`, lines[2])
	assert.Equal(t, `{"event":"change","op":"delete","kind":"deployments","id":"ml/kaito/a"}`, lines[3], "no cursor before the end of a batch")
	assert.Equal(t, `{"event":"change","cursor":"e-3","op":"put","kind":"deployments","id":"<b>","doc":{"v":"<&>"}}`, lines[4])
	assert.Equal(t, `{"event":"bookmark","cursor":"e-4","time":"2026-05-04T12:00:00Z"}`, lines[5])
}

func TestWatchEndsWithTheServersWordsWhereItMayNot(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"error":{"message":"deployments in ml: you may not list them","statusCode":403,"code":"Forbidden"}}`))
	}))
	t.Cleanup(server.Close)
	for _, output := range []string{"table", "json"} {
		_, err := execute(t, "watch", "--server", server.URL, "-o", output)
		require.EqualError(t, err, "deployments in ml: you may not list them (403)")
	}
}

func TestFrame(t *testing.T) {
	state := streamclient.NewState()
	s := &screen{state: state, server: "http://x", changed: make(chan struct{}, 1)}
	frame := func(width, height int) string { return strings.Join(s.frame(width, height, time.Now()), "\n") }

	assert.Contains(t, frame(80, 24), "http://x  connecting")
	s.status(streamclient.Status{Live: true})
	assert.Contains(t, frame(80, 24), "http://x  loading")
	for id := range 30 {
		doc := strings.ReplaceAll(putA, "ml/kaito/a", "ml/kaito/"+strings.Repeat("a", id+1))
		require.NoError(t, state.Apply(streamclient.Event{Type: "changes", Data: []byte(`{"changes":[` + doc + `]}`)}))
	}
	require.NoError(t, state.Apply(streamclient.Event{Type: "synced", Data: []byte(`{"kinds":{"deployments":{"synced":false,"count":30,"error":"workspaces.kaito.sh: \u001b[2Jmay not"}}}`)}))
	text := frame(100, 10)
	assert.Contains(t, text, "30 deployments: 30 Pending  live\n")
	assert.Contains(t, text, "deployments may be missing: workspaces.kaito.sh: [2Jmay not\n")
	assert.True(t, strings.HasSuffix(text, "… and 25 more"), text)
	assert.Equal(t, 10, strings.Count(text, "\n")+1)
	assert.NotContains(t, text, "\x1b")

	s.status(streamclient.Status{Err: os.ErrDeadlineExceeded, Retry: 5 * time.Second})
	assert.Regexp(t, `stale since \d\d:\d\d:\d\d, reconnecting in 5 s: i/o timeout\n`, frame(120, 24))
	s.status(streamclient.Status{})
	assert.Contains(t, frame(120, 24), "reconnecting in 5 s: i/o timeout", "until there is something new to say")
	for width := range 130 {
		for line := range strings.SplitSeq(frame(width, 5), "\n") {
			assert.LessOrEqual(t, columns(line), width)
		}
	}
	for height := 1; height < 6; height++ {
		assert.LessOrEqual(t, strings.Count(frame(80, height), "\n")+1, height)
	}
}
