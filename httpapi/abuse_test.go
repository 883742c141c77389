package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

// logged is what a server writes to its log, at every level, in the form that a pod has.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wholeLines: each line of the log is one entry, whatever is in it.
func (l *logged) wholeLines(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		require.True(t, json.Valid([]byte(line)), "%q", line)
	}
}

func (l *logged) option(c *cluster, o *Options) {
	o.Logger = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(l), zap.DebugLevel))
	c.tune = func(s *http.Server) { s.ErrorLog, _ = zap.NewStdLogAt(o.Logger, zap.DebugLevel) }
}

// hastened makes every time limit that a server sets on its connections shorter, so that a test need not wait for the real
// ones, and buffers small, so that a client that does not read is felt.
type hastened struct {
	net.Listener
	by time.Duration
}

type hastenedConn struct {
	*net.TCPConn
	by time.Duration
}

func (l hastened) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn) //nolint:forcetypeassert // of a TCP listener
	return hastenedConn{tcp, l.by}, tcp.SetWriteBuffer(32 << 10)
}

func (c hastenedConn) sooner(t time.Time) time.Time {
	if left := time.Until(t); left > 0 {
		return time.Now().Add(left / c.by)
	}
	return t
}

func (c hastenedConn) SetReadDeadline(t time.Time) error {
	return c.TCPConn.SetReadDeadline(c.sooner(t))
}

func (c hastenedConn) SetWriteDeadline(t time.Time) error {
	return c.TCPConn.SetWriteDeadline(c.sooner(t))
}
func (c hastenedConn) SetDeadline(t time.Time) error { return c.TCPConn.SetDeadline(c.sooner(t)) }

// hasten serves the same with shorter times, and returns where.
func (c *cluster) hasten(t *testing.T, by time.Duration) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	require.NoError(t, err)
	web := HTTPServer(c.server.Handler(), zap.NewNop())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(hastened{listener, by})
	}()
	t.Cleanup(func() {
		require.NoError(t, web.Close())
		<-done
	})
	return listener.Addr().String()
}

// TestWhoIsSlowIsCut and nobody else waits for them: headers, a body, and reading, a little at a time.
func TestWhoIsSlowIsCut(t *testing.T) {
	const by = 20 // headers 0.5 s, a body 1.5 s, an answer and idleness 6 s
	c := serve(t).fill()
	for n := range 400 {
		c.put(large(fmt.Sprint("large-", n), 32<<10))
	}
	address := c.hasten(t, by)
	dial := func(t *testing.T) *net.TCPConn {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		tcp := connection.(*net.TCPConn) //nolint:forcetypeassert // of a TCP listener
		t.Cleanup(func() { _ = tcp.Close() })
		require.NoError(t, tcp.SetDeadline(time.Now().Add(patience)))
		return tcp
	}
	// trickle sends a byte at a time until the server has had enough, which it tells how long it took to.
	trickle := func(t *testing.T, begin, each string) time.Duration {
		connection, began := dial(t), time.Now()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, connection)
		}()
		_, err := io.WriteString(connection, begin)
		for err == nil {
			select {
			case <-ended:
				return time.Since(began)
			case <-time.After(shortly):
				_, err = io.WriteString(connection, each)
			}
		}
		<-ended
		return time.Since(began)
	}
	within := func(t *testing.T, took, limit time.Duration) {
		t.Helper()
		require.Greater(t, took, limit/by/2)
		require.Less(t, took, limit/by+10*time.Second, "with time for a busy machine")
	}
	others := func(t *testing.T) {
		t.Helper()
		for range 20 {
			began := time.Now()
			require.Equal(t, http.StatusOK, c.get("/api/deployments?limit=5").status)
			require.Less(t, time.Since(began), 5*time.Second)
		}
	}
	for what, slow := range map[string]struct {
		begin, each string
		limit       time.Duration
	}{
		"a request line": {"GET /api/depl", "o", 10 * time.Second},
		"a header":       {"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ", "x", 10 * time.Second},
		"many headers":   {"GET /livez HTTP/1.1\r\nHost: x\r\n", "X: y\r\n", 10 * time.Second},
		"a body":         {"POST /api/me HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "x", bodyTime},
		"chunks":         {"DELETE /api/deployments/none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", bodyTime},
	} {
		t.Run(what, func(t *testing.T) {
			var all sync.WaitGroup
			took := make([]time.Duration, 20)
			for n := range took {
				all.Go(func() { took[n] = trickle(t, slow.begin, slow.each) })
			}
			others(t)
			all.Wait()
			for _, one := range took {
				within(t, one, slow.limit)
			}
		})
	}
	t.Run("an answer", func(t *testing.T) {
		connection := dial(t)
		require.NoError(t, connection.SetReadBuffer(8<<10))
		_, err := io.WriteString(connection, "GET /api/deployments HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		others(t)
		time.Sleep(answerTime/by + time.Second)
		n, err := io.Copy(io.Discard, connection)
		require.False(t, isTimeout(err), "cut, after %d bytes", n)
		require.Less(t, n, int64(400*32<<10), "not all of it")
	})
	t.Run("nothing at all", func(t *testing.T) {
		connection := dial(t)
		_, err := io.WriteString(connection, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, connection)
		require.False(t, isTimeout(err), "an idle connection is closed")
	})
	t.Run("a stream is none of them", func(t *testing.T) {
		connection := dial(t)
		_, err := io.WriteString(connection, "GET /api/stream?kinds=nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		require.NoError(t, err)
		defer response.Body.Close()
		reader := streamclient.NewReader(response.Body, "")
		for e := (streamclient.Event{}); e.Type != streamclient.EventSynced; {
			e, err = reader.Next()
			require.NoError(t, err)
		}
		time.Sleep(answerTime/by + time.Second)
		c.put(node("late", 1, 0))
		e, err := reader.Next()
		require.NoError(t, err)
		require.Equal(t, streamclient.EventChanges, e.Type)
	})
}

// TestMoreThanAnybodyNeeds is refused early, and costs little.
func TestMoreThanAnybodyNeeds(t *testing.T) {
	c := serve(t, inCluster()).fill()
	const auth = "Host: x\r\nAuthorization: Bearer secret-ann\r\nConnection: close\r\n"
	long := strings.Repeat("x", 4<<20)
	for what, tt := range map[string]struct {
		request string
		want    []int
	}{
		"a header":             {"GET /api/me HTTP/1.1\r\n" + auth + "X-Long: " + long + "\r\n\r\n", []int{431}},
		"a header's name":      {"GET /api/me HTTP/1.1\r\n" + auth + long + ": x\r\n\r\n", []int{431}},
		"many headers":         {"GET /api/me HTTP/1.1\r\n" + auth + strings.Repeat("X-Short: x\r\n", 20_000) + "\r\n", []int{431}},
		"a cookie":             {"GET /api/me HTTP/1.1\r\n" + auth + "Cookie: " + long + "\r\n\r\n", []int{431}},
		"a token":              {"GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + long + "\r\n\r\n", []int{431}},
		"a path":               {"GET /api/deployments/" + long + " HTTP/1.1\r\n" + auth + "\r\n", []int{431}},
		"a query":              {"GET /api/deployments?q=" + long + " HTTP/1.1\r\n" + auth + "\r\n", []int{431}},
		"a method":             {long + " / HTTP/1.1\r\n" + auth + "\r\n", []int{431}},
		"many parameters":      {"GET /api/deployments?" + strings.Repeat("q=a&", 14_000) + " HTTP/1.1\r\n" + auth + "\r\n", []int{400}},
		"parameters unknown":   {"GET /api/deployments?" + strings.Repeat("z=&", 9_000) + " HTTP/1.1\r\n" + auth + "\r\n", []int{200, 400}},
		"parameters all wrong": {"GET /api/deployments?" + strings.Repeat("limit=x&", 5_000) + " HTTP/1.1\r\n" + auth + "\r\n", []int{400}},
		"kinds":                {"GET /api/stream?kinds=" + strings.Repeat("x,", 20_000) + " HTTP/1.1\r\n" + auth + "\r\n", []int{400}},
		"segments":             {"GET /" + strings.Repeat("a/", 20_000) + " HTTP/1.1\r\n" + auth + "\r\n", []int{404}},
		"a cursor":             {"GET /api/stream?since=e1-" + strings.Repeat("9", 40_000) + " HTTP/1.1\r\n" + auth + "\r\n", []int{400}},
		"a selection":          {"GET /apis/live.kubefoundry.io/v1alpha1/backends?labelSelector=" + strings.Repeat("a,", 20_000) + " HTTP/1.1\r\n" + auth + "\r\n", []int{200, 400}},
		"a declared body":      {"DELETE /api/deployments/none HTTP/1.1\r\n" + auth + "Content-Length: 1048577\r\n\r\n", []int{413}},
		"an endless body":      {"DELETE /api/deployments/none HTTP/1.1\r\n" + auth + "Content-Length: 9223372036854775807\r\n\r\n", []int{413}},
		"a body below nothing": {"DELETE /api/deployments/none HTTP/1.1\r\n" + auth + "Content-Length: -1\r\n\r\n", []int{400}},
		"two lengths":          {"DELETE /api/deployments/none HTTP/1.1\r\n" + auth + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", []int{400}},
	} {
		t.Run(what, func(t *testing.T) {
			connection := c.dial(t)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(connection, tt.request)
			}()
			began := time.Now()
			response, err := http.ReadResponse(bufio.NewReader(connection), nil)
			require.NoError(t, err)
			body, _ := io.ReadAll(response.Body) // net/http may cut what goes on sending
			response.Body.Close()
			connection.Close()
			<-sent
			require.Contains(t, tt.want, response.StatusCode, "%.300s", body)
			require.Less(t, time.Since(began), 5*time.Second)
			if response.StatusCode != http.StatusOK {
				require.Less(t, len(body), 4<<10, "%.300s", body)
			}
		})
	}
	t.Run("chunks without end", func(t *testing.T) {
		connection := c.dial(t)
		go func() {
			_, err := io.WriteString(connection, "DELETE /api/deployments/none HTTP/1.1\r\n"+auth+"Transfer-Encoding: chunked\r\n\r\n")
			for err == nil {
				_, err = fmt.Fprintf(connection, "10000\r\n%s\r\n", make([]byte, 0x10000))
			}
		}()
		_, err := io.Copy(io.Discard, connection)
		require.False(t, isTimeout(err), "closed rather than read to the end")
	})
	require.Equal(t, http.StatusOK, c.get("/api/me", as("ann")...).status)
}

// hostile is text that means something to what reads headers, logs, streams or pages.
var hostile = []string{
	"%0d%0aInjected:%20yes", "%0d%0a%0d%0a{}", "%0aInjected:%20yes", "%0d", "%00", "a%00b", "%E2%80%A8Injected", "%E2%80%A9", "%C2%85", "%1b%5B31m", "%ff%fe", "%c0%80",
	"%250d%250a", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%5c", "%3Cscript%3E", "id:%201%0a%0adata:%20x", "%22%7D%0a%7B%22level%22:%22error%22", "a%20b", "%EF%BF%BF", "%F0%9F%92%A9",
}

// TestNothingIsInjected: what a request holds comes out neither as a header nor as a line of the log nor of a stream.
func TestNothingIsInjected(t *testing.T) {
	log := &logged{}
	c := serve(t, inCluster(), log.option).fill()
	check := func(t *testing.T, what string, got answer) {
		t.Helper()
		require.NotContains(t, got.header, "Injected", what)
		require.GreaterOrEqual(t, got.status, 200, what)
		require.True(t, json.Valid([]byte(got.body)), "%s: %q", what, got.body)
		require.NotContains(t, got.body, "<script", what)
		for name, values := range got.header {
			for _, value := range values {
				require.NotContains(t, value, "yes", "%s: %s", what, name)
			}
		}
	}
	for _, text := range hostile {
		for _, who := range []string{"ann", "fails", "panics", "unknown"} {
			for _, target := range []string{
				"/api/deployments/" + text, "/api/deployments/" + text + "/pods", "/api/deployments/qwen?namespace=" + text, "/api/deployments/qwen?runtime=" + text,
				"/api/deployments?q=" + text, "/api/deployments?" + text + "=1", "/api/deployments?sort=" + text, "/api/stream?since=" + text, "/api/stream?kinds=" + text,
				"/" + text, "/apis/" + text, "/apis/live.kubefoundry.io/v1alpha1/backends/" + text, "/apis/live.kubefoundry.io/v1alpha1/backends/default/proxy/" + text,
				"/apis/live.kubefoundry.io/v1alpha1/namespaces/" + text + "/backends/default/proxy/api/me",
			} {
				for _, method := range []string{"GET", "DELETE", "POST"} {
					got := c.says(t, method+" "+target+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-"+who+"\r\nConnection: close\r\n\r\n")
					check(t, method+" "+target, got)
				}
			}
		}
	}
	for _, request := range []string{ // raw, where net/http lets nothing pass
		"GET /api/me\x00 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /api/\r\nInjected: yes HTTP/1.1\r\nHost: x\r\n\r\n", "GET /api/me HTTP/1.1\r\nHost: x\r\nLast-Event-ID: a\rInjected: yes\r\n\r\n",
		"GET /api/stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: a\x00b\r\n\r\n", "GET /api/me HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n", "GET /api/me HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n",
		"GET /api/me HTTP/1.1\r\nHost: x\x00y\r\n\r\n", "GE\x00T /api/me HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		got := c.says(t, request)
		require.Equal(t, http.StatusBadRequest, got.status, "%q", request)
		require.NotContains(t, got.header, "Injected")
	}
	t.Run("Last-Event-ID", func(t *testing.T) {
		for _, id := range []string{"a\tb", "\u2028", "id: 1", "e1-1\u0085", strings.Repeat("9", 30_000), "<script>", `"},{"`, "e1-99999999999999999999", "\xff\xfe"} {
			f := c.open(t, "?kinds=nodes", as("ann", "Last-Event-ID", id)...)
			first := f.next()
			require.Equal(t, streamclient.EventReset, first.Type)
			reset, err := first.Reset()
			require.NoError(t, err)
			require.Equal(t, api.ResetEventReasonUnknownEpoch, reset.Reason)
			f.until(streamclient.EventSynced)
			for _, e := range f.events {
				require.NotContains(t, string(e.Data), id)
			}
			f.close()
		}
	})
	require.Contains(t, log.String(), `"request failed"`)
	require.Contains(t, log.String(), `"request panicked"`)
	log.wholeLines(t)
}

// TestTokensAndCookiesStayOut of everything that is kept or told: the log at its most talkative, metrics, and errors.
func TestTokensAndCookiesStayOut(t *testing.T) {
	log := &logged{}
	c := serve(t, inCluster(), log.option, func(_ *cluster, o *Options) { o.Limits = Limits{RequestRate: 1, RequestBurst: 30, Streams: 1} }).fill()
	told := &strings.Builder{}
	const cookie = "headlamp-auth-main.0=cookie-secret-value"
	for range 2 {
		for _, name := range []string{"ann", "fails", "panics", "unknown", "prometheus"} {
			for _, path := range []string{
				"/api/me", "/api/deployments", "/api/deployments/none", "/api/deployments?limit=x", "/metrics", "/nowhere", "/apis/x", "/api/stream?since=x",
				"/apis/live.kubefoundry.io/v1alpha1/backends/default/proxy/api/me",
			} {
				for _, method := range []string{"GET", "HEAD", "DELETE", "POST", "OPTIONS"} {
					got := c.ask(method, path, as(name, "Cookie", cookie, "Cookie", "more=cookie-secret-value")...)
					require.NotEqual(t, http.StatusNotImplemented, got.status)
					fmt.Fprintln(told, got.header, got.body)
				}
			}
		}
		for _, authorization := range []string{"Basic secret-basic", "secret-alone", "Bearer  secret-spaces x", "Bearer secret-\t", "bearer secret-ann"} {
			got := c.get("/api/me", "Authorization", authorization, "Cookie", cookie)
			fmt.Fprintln(told, got.header, got.body)
		}
	}
	f := c.open(t, "", as("bob", "Cookie", cookie)...)
	f.until(streamclient.EventSynced)
	got := c.get(streamPath, as("bob", "Cookie", cookie)...)
	require.Equal(t, http.StatusTooManyRequests, got.status)
	fmt.Fprintln(told, got.body)
	c.says(t, "GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-broken\r\nCookie: cookie-secret-value\r\nBad Name: x\r\n\r\n")
	c.says(t, "GET /api/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-long"+strings.Repeat("x", 100<<10)+"\r\n\r\n")
	time.Sleep(2 * time.Second)
	metrics := c.get("/metrics", as("prometheus")...)
	require.Equal(t, http.StatusOK, metrics.status)
	require.Contains(t, metrics.body, "kubefoundry_http_requests_total")
	require.Contains(t, log.String(), "request panicked")
	for what, text := range map[string]string{"log": log.String(), "answers": told.String(), "metrics": metrics.body, "stream": fmt.Sprintf("%s", f.events)} {
		for _, secret := range []string{"secret-", "cookie", "headlamp-auth", "Bearer secret"} {
			require.NotContains(t, text, secret, what)
		}
	}
	log.wholeLines(t)
}

// TestGuardSetsItsLimits: the real times, which the other tests shorten.
func TestGuardSetsItsLimits(t *testing.T) {
	c := serve(t)
	for body, reads := range map[string]bool{"": false, "x": true} {
		w := &limitedWriter{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		c.server.guard(http.NotFoundHandler()).ServeHTTP(w, r)
		require.InDelta(t, answerTime, time.Until(w.write), float64(time.Minute))
		require.Equal(t, reads, !w.read.IsZero())
		if reads {
			require.InDelta(t, bodyTime, time.Until(w.read), float64(10*time.Second))
		}
	}
}

type limitedWriter struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (w *limitedWriter) SetReadDeadline(t time.Time) error  { w.read = t; return nil }
func (w *limitedWriter) SetWriteDeadline(t time.Time) error { w.write = t; return nil }
