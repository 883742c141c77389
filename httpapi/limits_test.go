package httpapi

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

func limited(l Limits, set ...func(*StreamOptions)) func(*cluster, *Options) {
	return func(_ *cluster, o *Options) {
		o.Identity, o.Limits = callers{}, l
		for _, s := range set {
			s(&o.Stream)
		}
	}
}

// TestRetryAfterIsTrue: whoever waits that long is served, and not much sooner.
func TestRetryAfterIsTrue(t *testing.T) {
	for _, rate := range []float64{0.01, 0.3, 1, 2.5, 50, 10_000} {
		for _, burst := range []int{0, 1, 7, 200} {
			t.Run(fmt.Sprintf("%g a second, %d at once", rate, burst), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLimits(Limits{RequestRate: rate, RequestBurst: burst})
					for range max(burst, 1) {
						require.NoError(t, l.request("ann"))
					}
					var wait time.Duration
					for range 100 { // those that are refused cost nothing
						err := l.request("ann")
						var limit *limitError
						require.ErrorAs(t, err, &limit)
						require.Equal(t, api.ErrorCodeTooManyRequests, limit.limit.Code)
						seconds, err := strconv.Atoi(limit.retryAfter())
						require.NoError(t, err)
						require.Positive(t, seconds)
						wait = time.Duration(seconds) * time.Second
						require.Less(t, wait.Seconds(), 1/rate+1, "no longer than it takes")
					}
					require.NoError(t, l.request("bob"), "others are not concerned")
					if wait > 2*time.Second {
						time.Sleep(wait - 2*time.Second)
						require.Error(t, l.request("ann"))
						time.Sleep(2 * time.Second)
					} else {
						time.Sleep(wait)
					}
					require.NoError(t, l.request("ann"))
				})
			})
		}
	}
}

func TestNoRateIsNoLimit(t *testing.T) {
	l := newLimits(Limits{RequestBurst: 1})
	for range 10_000 {
		require.NoError(t, l.request("ann"))
	}
	require.Zero(t, l.buckets.Len(), "and nothing to remember")
}

// TestManyFirstRequestsShareABucket: coming all at once does not give anybody more.
func TestManyFirstRequestsShareABucket(t *testing.T) {
	l := newLimits(Limits{RequestRate: 0.0001, RequestBurst: 5})
	var served atomic.Int64
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if l.request("ann") == nil {
				served.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 5, served.Load())
	for n := range 2 * maxCallers {
		require.NoError(t, l.request(strconv.Itoa(n)))
	}
	require.LessOrEqual(t, l.buckets.Len(), maxCallers, "names that somebody makes up fill no memory")
}

func TestRequestsOfOneCaller(t *testing.T) {
	c := serve(t, limited(Limits{RequestRate: 2, RequestBurst: 10})).fill()
	served, refused := 0, answer{}
	for refused.status == 0 {
		switch got := c.get("/api/me", as("ann")...); got.status {
		case http.StatusOK:
			served++
		default:
			refused = got
		}
	}
	require.GreaterOrEqual(t, served, 10)
	e := refused.failure(t)
	require.Equal(t, http.StatusTooManyRequests, refused.status)
	require.Equal(t, api.ErrorCodeTooManyRequests, e.Code)
	require.Contains(t, e.Message, "2 requests per second")
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, c.get("/api/me", as("bob")...).status, "others are served")
	for _, path := range []string{"/livez", "/readyz", "/apis"} {
		require.Equal(t, http.StatusOK, c.get(path).status, "probes are not counted")
	}
	for range 50 {
		require.Equal(t, http.StatusUnauthorized, c.get("/api/me", "Authorization", "Bearer made-up").status, "they are nobody's requests")
	}
	// Every way to ask is one more request: streams, what is not found, what is wrong.
	for _, path := range []string{streamPath + "?since=x", "/api/deployments/none", "/api/deployments?limit=x", "/metrics"} {
		for c.get(path, as("cid")...).status != http.StatusTooManyRequests { // until it is too much
		}
	}
	time.Sleep(time.Second)
	require.Equal(t, http.StatusOK, c.get("/api/me", as("ann")...).status, "as Retry-After said")
}

// nothingHeld: what a stream took was given back, by callers and in all.
func (c *cluster) nothingHeld(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.server.limits.mu.Lock()
		defer c.server.limits.mu.Unlock()
		return len(c.server.streams) == 0 && len(c.server.limits.streams) == 0
	}, patience, shortly)
}

func TestStreamsOfOneCaller(t *testing.T) {
	c := serve(t, limited(Limits{Streams: 2}, quick)).fill()
	first, second := c.open(t, "", as("ann")...), c.open(t, "", as("ann")...)
	first.until(streamclient.EventSynced)
	for range 100 { // being refused takes nothing, and gives nothing back
		got := c.get(streamPath, as("ann")...)
		e := got.failure(t)
		require.Equal(t, http.StatusTooManyRequests, got.status)
		require.Equal(t, api.ErrorCodeTooManyStreams, e.Code)
		require.Contains(t, e.Message, "you have 2 streams open")
		require.Equal(t, "5", got.header.Get("Retry-After"))
	}
	for range 10 { // neither does what is no stream
		require.Equal(t, http.StatusBadRequest, c.get(streamPath+"?since=x", as("ann")...).status)
		require.Equal(t, http.StatusOK, c.ask(http.MethodHead, streamPath, as("ann")...).status)
		require.Equal(t, http.StatusOK, c.get("/api/me", as("ann")...).status)
	}
	require.Equal(t, api.ErrorCodeTooManyStreams, c.get(streamPath, as("ann")...).failure(t).Code)
	c.open(t, "", as("bob")...).until(streamclient.EventSynced)
	require.InDelta(t, 3, c.metric("kubefoundry_stream_clients"), 0)

	first.close()
	require.Eventually(t, func() bool { return c.metric("kubefoundry_stream_clients") == 2 }, patience, shortly)
	third := c.open(t, "", as("ann")...)
	third.until(streamclient.EventSynced)
	require.Equal(t, api.ErrorCodeTooManyStreams, c.get(streamPath, as("ann")...).failure(t).Code)
	second.until(streamclient.EventBookmark) // the others were never disturbed
	c.server.Close()
	require.Empty(t, c.server.limits.streams)
	require.Equal(t, api.ErrorCodeUnavailable, c.get(streamPath, as("ann")...).failure(t).Code)
}

// TestStreamsOfAll: a stream that is refused since there are too many is none of the caller's.
func TestStreamsOfAll(t *testing.T) {
	c := serve(t, limited(Limits{Streams: 2}, func(o *StreamOptions) { o.Max = 3 })).fill()
	ann := []*follower{c.open(t, "", as("ann")...), c.open(t, "", as("ann")...)}
	bob := c.open(t, "", as("bob")...)
	for range 20 {
		for _, name := range []string{"bob", "cid"} {
			got := c.get(streamPath, as(name)...)
			require.Equal(t, http.StatusTooManyRequests, got.status)
			require.Contains(t, got.failure(t).Message, "3 streams are open")
			require.Equal(t, "5", got.header.Get("Retry-After"))
		}
	}
	ann[0].close()
	var again *follower
	require.Eventually(t, func() bool {
		if len(c.server.streams) == 3 {
			return false
		}
		again = c.open(t, "", as("bob")...)
		return true
	}, patience, shortly)
	for _, f := range append(ann, bob, again) {
		f.close()
	}
	c.nothingHeld(t)
}

// TestStreamsThatFailGiveTheirPlaceBack, whatever they fail of, and over either protocol.
func TestStreamsThatFailGiveTheirPlaceBack(t *testing.T) {
	t.Run("a panic", func(t *testing.T) {
		c := serve(t, limited(Limits{Streams: 1})).fill()
		c.server.frames = nil
		for range 5 {
			f := c.open(t, "", as("ann")...)
			var err error
			for err == nil {
				_, err = f.read()
			}
			c.nothingHeld(t)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		c := serve(t, limited(Limits{Streams: 2})).fill()
		web := httptest.NewUnstartedServer(c.server.Handler())
		web.EnableHTTP2 = true
		web.StartTLS()
		defer web.Close()
		open := func() *http.Response {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+streamPath, http.NoBody)
			require.NoError(t, err)
			request.Header.Set("Authorization", "Bearer secret-ann")
			response, err := web.Client().Do(request)
			require.NoError(t, err)
			require.Equal(t, 2, response.ProtoMajor)
			return response
		}
		for range 3 {
			first, second := open(), open()
			third := open()
			require.Equal(t, http.StatusTooManyRequests, third.StatusCode)
			require.NoError(t, third.Body.Close())
			for _, r := range []*http.Response{first, second} {
				require.Equal(t, http.StatusOK, r.StatusCode)
				_, err := bufio.NewReader(r.Body).ReadString('\n')
				require.NoError(t, err)
				require.NoError(t, r.Body.Close())
			}
			c.nothingHeld(t)
		}
	})
	t.Run("clients that leave at once", func(t *testing.T) {
		c := serve(t, limited(Limits{Streams: 50})).fill()
		for range 40 {
			connection := c.dial(t)
			_, err := strings.NewReader("GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-ann\r\n\r\n").WriteTo(connection)
			require.NoError(t, err)
			require.NoError(t, connection.Close())
		}
		c.nothingHeld(t)
		c.open(t, "", as("ann")...).until(streamclient.EventSynced)
	})
}
