package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/view"
)

// client is one consumer of the stream, whose connection can be cut and slowed.
type client struct {
	scope    view.Scope
	state    *streamclient.State
	recorder *recorder
	slow     atomic.Bool
	// whole says that the client must not be told any more that a kind is not complete.
	whole atomic.Bool

	mu         sync.Mutex
	conn       net.Conn
	last       api.Cursor
	checks     int
	violations []string
}

func (c *client) run(ctx context.Context, base string) error {
	transport := &http.Transport{DialContext: c.dial}
	defer transport.CloseIdleConnections()
	query := url.Values{}
	kinds := make([]string, len(c.scope.Kinds))
	for i, k := range c.scope.Kinds {
		kinds[i] = string(k)
	}
	if len(kinds) > 0 {
		query.Set("kinds", strings.Join(kinds, ","))
	}
	if c.scope.Namespace != "" {
		query.Set("namespace", c.scope.Namespace)
	}
	for {
		// An impatient user: at each failure they ask again at once, from where they stand, without the client's own back-off.
		attempt, again := context.WithCancel(ctx)
		stream := streamclient.Client{
			URL: base + "/api/stream?" + query.Encode(), HTTP: &http.Client{Transport: transport}, State: c.state, Watchdog: 5 * time.Second,
			OnStatus: func(s streamclient.Status) {
				if s.Err != nil {
					again()
				}
			},
		}
		err := stream.Run(attempt, c.state.Cursor(), c.check)
		again()
		if ctx.Err() != nil || !errors.Is(err, context.Canceled) {
			return err
		}
		away := time.Duration(rand.IntN(50)) * time.Millisecond //nolint:gosec // chance, not a secret
		if rand.IntN(10) == 0 {                                 //nolint:gosec // as above
			away += tombstones // longer than deletions are remembered
		}
		time.Sleep(away)
	}
}

// check holds what the client has against the record, wherever the stream promises that it is whole.
func (c *client) check(event streamclient.Event) error {
	if event.Type == streamclient.EventReset {
		c.mu.Lock()
		c.last = api.Cursor{}
		c.mu.Unlock()
	}
	if event.Cursor == "" {
		return nil
	}
	cursor, err := api.ParseCursor(event.Cursor)
	if err != nil {
		c.violation("%s: %v", event.Type, err)
		return nil
	}
	c.mu.Lock()
	last := c.last
	c.last = cursor
	c.mu.Unlock()
	if last.Epoch != "" && (cursor.Epoch != last.Epoch || cursor.Revision < last.Revision) {
		c.violation("%s: the cursor went from %v to %v without a reset", event.Type, last, cursor)
	}
	if event.Type != streamclient.EventSynced && event.Type != streamclient.EventBookmark {
		return nil
	}
	if data, err := event.Synced(); event.Type == streamclient.EventSynced && c.whole.Load() {
		for kind, state := range data.Kinds {
			if err != nil || incomplete(state) {
				c.violation("%s are not complete any more: %s", kind, state.Error)
			}
		}
	}
	want, have := c.recorder.at(cursor, c.scope), c.state.Documents()
	c.mu.Lock()
	c.checks++
	c.mu.Unlock()
	if diff := difference(want, have); diff != "" {
		c.violation("%s at %v in %v: %s", event.Type, cursor, c.scope, diff)
	}
	return nil
}

// incomplete tells whether there may be documents that were never read. A kind whose watch broke is out of date, and says so.
func incomplete(state api.KindState) bool {
	if state.Synced {
		return false
	}
	return !slices.ContainsFunc(state.Sources, func(s api.Source) bool { return s.State == api.SourceStateStale })
}

// difference names the first document in which two lists, both in order, differ.
func difference(want, have []streamclient.Document) string {
	for i := range max(len(want), len(have)) {
		switch {
		case i >= len(have):
			return fmt.Sprintf("%s %s is missing", want[i].Kind, want[i].ID)
		case i >= len(want):
			return fmt.Sprintf("%s %s is too many", have[i].Kind, have[i].ID)
		case want[i].Kind != have[i].Kind || want[i].ID != have[i].ID:
			return fmt.Sprintf("%s %s where %s %s was expected", have[i].Kind, have[i].ID, want[i].Kind, want[i].ID)
		case !bytes.Equal(want[i].JSON, have[i].JSON):
			return fmt.Sprintf("%s %s differs: want %s, have %s", want[i].Kind, want[i].ID, want[i].JSON, have[i].JSON)
		}
	}
	return ""
}

func (c *client) violation(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violations = append(c.violations, fmt.Sprintf(format, args...))
}

func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	return slowConn{conn, &c.slow}, nil
}

// cut breaks the connection wherever it is, in the middle of a frame as likely as not.
func (c *client) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// slowConn reads a few bytes at a time while its client is slow.
type slowConn struct {
	net.Conn
	slow *atomic.Bool
}

func (c slowConn) Read(p []byte) (int, error) {
	if c.slow.Load() {
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) //nolint:gosec // chance, not a secret
		p = p[:min(len(p), 700)]
	}
	return c.Conn.Read(p)
}
