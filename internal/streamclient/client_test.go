package streamclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers each request by the next step of its script, the last one over and over.
type server struct {
	script []step
	mu     sync.Mutex
	// asked are the values of `since`, and when they came. Guarded by mu.
	asked []string
	times []time.Time
}

type step struct {
	status int
	header string // of Content-Type, text/event-stream where empty
	retry  string // of Retry-After
	body   string
	// silent keeps the connection open after the body.
	silent bool
	err    error
}

func (s *server) RoundTrip(request *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.script[min(len(s.asked), len(s.script)-1)]
	s.asked, s.times = append(s.asked, request.URL.Query().Get("since")), append(s.times, time.Now())
	if now.err != nil {
		return nil, now.err
	}
	response := &http.Response{StatusCode: now.status, Header: http.Header{"Content-Type": {"text/event-stream"}}, Request: request}
	if now.status == 0 {
		response.StatusCode = http.StatusOK
	}
	if now.header != "" {
		response.Header.Set("Content-Type", now.header)
	}
	if now.retry != "" {
		response.Header.Set("Retry-After", now.retry)
	}
	var body io.Reader = strings.NewReader(now.body)
	if now.silent {
		body = io.MultiReader(body, silence{request.Context()})
	}
	response.Body = io.NopCloser(body)
	return response, nil
}

// silence is a connection on which nothing comes until it is closed.
type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

const snapshot = "event: reset\nid: \ndata: {\"reason\":\"start\"}\n\n" +
	"event: changes\nid: \ndata: {\"changes\":[{\"op\":\"put\",\"kind\":\"deployments\",\"id\":\"a\",\"doc\":{\"v\":1}}]}\n\n"

const synced = "event: synced\nid: e-7\ndata: {\"kinds\":{}}\n\n"

var errEnough = errors.New("enough")

// run plays a script until the client gives up, or has asked `requests` times.
func run(t *testing.T, since string, requests int, script ...step) (*server, *streamclient.State, []streamclient.Status, error) {
	t.Helper()
	s := &server{script: script}
	state := streamclient.NewState()
	var statuses []streamclient.Status
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	client := streamclient.Client{
		URL:   "http://kubefoundry.test/api/stream?kinds=deployments",
		HTTP:  &http.Client{Transport: s},
		State: state,
		OnStatus: func(status streamclient.Status) {
			statuses = append(statuses, status)
			if status.Err != nil && len(s.asked) >= requests {
				cancel(errEnough)
			}
		},
	}
	err := client.Run(ctx, since, func(streamclient.Event) error { return nil })
	return s, state, statuses, err
}

func TestAConnectionThatBreaksInsideASnapshotStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, state, _, err := run(t, "e-3", 2, step{body: snapshot}, step{body: snapshot + synced})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, []string{"e-3", ""}, s.asked)
		assert.Equal(t, map[string]string{"a": `{"v":1}`}, held(state))
	})
}

func TestAConnectionThatBreaksLaterGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more := "event: changes\nid: e-8\ndata: {\"changes\":[{\"op\":\"delete\",\"kind\":\"deployments\",\"id\":\"a\"}]}\n\n"
		half := "event: changes\nid: e-9\ndata: {\"changes\":"
		s, state, _, _ := run(t, "", 4, step{body: snapshot + synced}, step{body: more}, step{err: io.ErrUnexpectedEOF}, step{body: half})
		assert.Equal(t, []string{"", "e-7", "e-8", "e-8"}, s.asked)
		assert.Empty(t, held(state))
		assert.Equal(t, "e-8", state.Cursor())
	})
}

func TestRefusalsThatAskingAgainDoesNotChangeEndIt(t *testing.T) {
	for name, tt := range map[string]struct {
		step    step
		message string
	}{
		"bad cursor":      {step{status: 400, body: `{"error":{"message":"cursor \"x\": want <epoch>-<revision>","statusCode":400,"code":"InvalidRequest"}}`}, `cursor "x": want <epoch>-<revision> (400)`},
		"no token":        {step{status: 401, body: `{"kind":"Status","message":"Unauthorized"}`}, "Unauthorized (401)"},
		"no right":        {step{status: 403, body: "may not\n"}, "may not (403)"},
		"wrong address":   {step{status: 404, body: "<html>"}, "Not Found (404)"},
		"not a stream":    {step{header: "text/html; charset=utf-8", body: "<html>"}, `answered with "text/html; charset=utf-8" instead of an event stream: is this KubeFoundry's address? (200)`},
		"a very long one": {step{status: 403, body: strings.Repeat("ä", 400)}, strings.Repeat("ä", 250) + "… (403)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, _, err := run(t, "", 10, tt.step)
				var refused *streamclient.StatusError
				require.ErrorAs(t, err, &refused)
				require.EqualError(t, err, tt.message)
				assert.Len(t, s.asked, 1)
			})
		})
	}
}

func TestOtherRefusalsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, statuses, err := run(t, "", 5,
			step{status: 503, retry: "7"}, step{status: 429}, step{body: snapshot + synced}, step{status: 404}, step{status: 502})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, []string{"", "", "", "e-7", "e-7"}, s.asked)
		assert.GreaterOrEqual(t, s.times[1].Sub(s.times[0]), 7*time.Second, "what Retry-After says at least")
		assert.Less(t, s.times[1].Sub(s.times[0]), 8*time.Second)
		assert.Equal(t, streamclient.Status{}, statuses[0], "connecting")
		require.ErrorContains(t, statuses[1].Err, "Service Unavailable")
		assert.True(t, statuses[5].Live)
	})
}

func TestTheWaitGrowsUntilAConnectionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, _ := run(t, "", 12, step{err: errors.New("connection refused")})
		for i, limit := 1, 500*time.Millisecond; i < len(s.times); i++ {
			wait := s.times[i].Sub(s.times[i-1])
			assert.GreaterOrEqual(t, wait, limit/2)
			assert.LessOrEqual(t, wait, limit)
			if limit *= 2; limit > 16*time.Second {
				limit = 30 * time.Second
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		down := step{err: errors.New("connection refused")}
		s, _, _, _ := run(t, "", 6, down, down, down, down, step{body: snapshot + synced, silent: true}, down)
		// The watchdog ends the silent one after 45 s, which is long enough for the failures before to be forgotten.
		wait := s.times[5].Sub(s.times[4]) - streamclient.Watchdog
		assert.LessOrEqual(t, wait, 500*time.Millisecond)
		assert.Greater(t, wait, time.Duration(0))
	})
	synctest.Test(t, func(t *testing.T) {
		// A server that accepts and fails at once is not asked without pause.
		s, _, _, _ := run(t, "", 8, step{body: snapshot})
		assert.Greater(t, s.times[7].Sub(s.times[6]), 10*time.Second)
	})
}

func TestByeSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, statuses, _ := run(t, "", 3, step{body: snapshot + synced + "event: bye\nid: e-7\ndata: {\"reason\":\"max-age\",\"retryMs\":1234}\n\n"})
		assert.Equal(t, []string{"", "e-7", "e-7"}, s.asked)
		assert.Equal(t, 1234*time.Millisecond, s.times[1].Sub(s.times[0]))
		assert.Equal(t, 1234*time.Millisecond, s.times[2].Sub(s.times[1]), "and that is no failure")
		require.EqualError(t, statuses[2].Err, "the server ended the stream: max-age")
	})
}

func TestAHandlerEndsIt(t *testing.T) {
	client := streamclient.Client{URL: "http://kubefoundry.test/", HTTP: &http.Client{Transport: &server{script: []step{{body: snapshot}}}}}
	var seen []string
	err := client.Run(t.Context(), "", func(e streamclient.Event) error {
		seen = append(seen, e.Type)
		if e.Type == streamclient.EventChanges {
			return errEnough
		}
		return nil
	})
	require.ErrorIs(t, err, errEnough)
	assert.Equal(t, []string{"reset", "changes"}, seen)
}

func TestASlowHandlerIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{script: []step{{body: snapshot + synced, silent: true}}}
		client := streamclient.Client{URL: "http://kubefoundry.test/", HTTP: &http.Client{Transport: s}}
		err := client.Run(t.Context(), "", func(e streamclient.Event) error {
			time.Sleep(2 * streamclient.Watchdog)
			if e.Type == streamclient.EventSynced {
				return errEnough
			}
			return nil
		})
		require.ErrorIs(t, err, errEnough)
		assert.Len(t, s.asked, 1)
	})
}

func TestABadAddressIsAnErrorAtOnce(t *testing.T) {
	err := (&streamclient.Client{URL: "http://[::1"}).Run(t.Context(), "", nil)
	require.ErrorContains(t, err, "the stream's address")
}
