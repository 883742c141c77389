package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/view"
)

// laptop is a server that asks nobody who they are, as on a laptop.
func laptop(origins ...string) func(*cluster, *Options) {
	return func(_ *cluster, o *Options) {
		o.Browser = BrowserOptions{Origins: origins, Hosts: []string{"localhost", "127.0.0.1", "::1", "Desk.Internal:8443"}}
	}
}

// inCluster is one where browsers are no danger, for they have no token to send by themselves.
func inCluster(origins ...string) func(*cluster, *Options) {
	return func(_ *cluster, o *Options) { o.Browser.Origins, o.Identity = origins, callers{} }
}

// callers knows everybody by a token "secret-<name>". Some of them bring out the worst.
type callers struct{}

var errNotOurs = errors.New("not an error of ours:\r\nInjected: yes")

func (callers) Authenticate(r *http.Request) (*auth.Caller, error) {
	token := r.Header.Get("Authorization")
	r.Header.Del("Authorization")
	if len(r.Header["Cookie"]) > 0 {
		return nil, errors.New("a cookie got in")
	}
	name, ok := strings.CutPrefix(token, "Bearer secret-")
	switch {
	case !ok:
		return nil, api.Errorf(api.ErrorCodeUnauthenticated, "no token")
	case name == "panics":
		panic("a fault of ours:\r\nInjected: yes")
	case name == "fails":
		return nil, errNotOurs
	}
	return auth.NewUnchecked(nil, name).Authenticate(r)
}

func (callers) Grant(_ context.Context, c *auth.Caller) (auth.Grant, error) {
	if c.Name() == "unknown" {
		return auth.Grant{}, api.Errorf(api.ErrorCodeUnavailable, "nobody can tell")
	}
	return auth.NewUnchecked(nil, "").Grant(context.Background(), c)
}

func (callers) MayGet(_ context.Context, c *auth.Caller, _ string) (bool, error) {
	return c.Name() == "prometheus", nil
}

func (callers) Config(*auth.Caller) *rest.Config { return &rest.Config{Host: "http://127.0.0.1:1"} }

// as are the headers of a caller's request.
func as(name string, header ...string) []string {
	return append([]string{"Authorization", "Bearer secret-" + name}, header...)
}

// says sends a request as it is written, and reads an answer that is no stream.
func (c *cluster) says(t *testing.T, request string) answer {
	t.Helper()
	connection := c.dial(t)
	defer connection.Close()
	_, err := io.WriteString(connection, request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

// TestHosts: a page can have its own name resolved to this machine, but not hide that name from the server.
func TestHosts(t *testing.T) {
	c := serve(t, laptop()).fill()
	for _, host := range []string{
		"localhost", "localhost:3001", "LocalHost:3001", "localhost.", "localhost.:3001", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:3001",
		"desk.internal", "DESK.internal:3001", "desk.internal.",
	} {
		got := c.says(t, "GET /api/deployments HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		require.Equal(t, http.StatusOK, got.status, "%s: %s", host, got.body)
	}
	for _, host := range []string{
		"evil.example", "evil.example:3001", "EVIL.example", "evil.example.", "localhost.evil.example", "127.0.0.1.evil.example", "localhost-evil.example",
		"evil.example:localhost", "localhost,evil.example", "localhost..", ".localhost", "", ":3001", ".", "0.0.0.0", "0", "127.1", "2130706433", "127.0.0.2", "0x7f.0.0.1",
		"[::]", "[::]:3001", "[::ffff:127.0.0.1]:3001", "[::1%25lo]", "[fe80::1]:3001", "10.0.0.1", "xn--localhost", "internal",
	} {
		for _, request := range []string{
			"GET /api/deployments HTTP/1.1", "GET /api/stream HTTP/1.1", "HEAD /api/deployments HTTP/1.1", "DELETE /api/deployments/none HTTP/1.1",
			"GET /livez HTTP/1.1", "GET /apis HTTP/1.1", "GET /openapi.json HTTP/1.1", "GET /metrics HTTP/1.1", "GET /nowhere HTTP/1.1", "POST /api/deployments HTTP/1.1",
			"GET http://" + host + "/api/deployments HTTP/1.1",
		} {
			if host == "" && strings.Contains(request, "http://") {
				continue // no absolute form without a host
			}
			got := c.says(t, request+"\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if got.status != http.StatusBadRequest { // of net/http, which takes it for no name at all
				require.Equal(t, http.StatusForbidden, got.status, "%q %s: %s", host, request, got.body)
			}
			for _, secret := range []string{"qwen", "paths", "kubefoundry_", "event:"} {
				require.NotContains(t, got.body, secret, "%q %s", host, request)
			}
		}
	}
	for request, want := range map[string]int{
		"GET /api/deployments HTTP/1.0\r\n\r\n":                                                               http.StatusForbidden,
		"GET /api/deployments HTTP/1.0\r\nHost: localhost\r\n\r\n":                                            http.StatusOK,
		"GET /api/deployments HTTP/1.0\r\nHost: evil.example\r\n\r\n":                                         http.StatusForbidden,
		"GET http://evil.example/api/deployments HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":    http.StatusForbidden,
		"GET http://evil.example/api/deployments HTTP/1.0\r\n\r\n":                                            http.StatusForbidden,
		"GET //evil.example/api/deployments HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":         http.StatusNotFound,
		"GET /api/deployments HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n": http.StatusBadRequest,
		"GET /api/deployments HTTP/1.1\r\nHost: localhost evil.example\r\nConnection: close\r\n\r\n":          http.StatusBadRequest,
		// Nobody but the server's own name counts.
		"GET /api/deployments HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\nConnection: close\r\n\r\n": http.StatusForbidden,
	} {
		got := c.says(t, request)
		require.Equal(t, want, got.status, "%q: %s", request, got.body)
	}
	e := c.says(t, "GET /api/deployments HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").failure(t)
	require.Equal(t, api.ErrorCodeForbidden, e.Code)
	require.Contains(t, e.Message, `"evil.example"`)
	require.Contains(t, e.Message, "--allowed-hosts")

	all := serve(t, inCluster()).fill()
	require.Equal(t, http.StatusOK, all.says(t, "GET /livez HTTP/1.1\r\nHost: 10.2.3.4:8443\r\nConnection: close\r\n\r\n").status, "a pod has many names")
}

// TestPagesOfOthers: what a page of another site can have a browser send. 404 is what a request gets that is let through.
func TestPagesOfOthers(t *testing.T) {
	c := serve(t, laptop()).fill()
	own := "http://" + c.address
	for _, tt := range []struct {
		what, method string
		header       []string
		want         int
	}{
		{"curl", "DELETE", nil, 404},
		{"our own page", "DELETE", []string{"Origin", own, "Sec-Fetch-Site", "same-origin"}, 404},
		{"our own page, in an old browser", "DELETE", []string{"Origin", own}, 404},
		{"typed by the user", "DELETE", []string{"Sec-Fetch-Site", "none"}, 404},
		{"fetch", "DELETE", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"fetch, in an old browser", "DELETE", []string{"Origin", "https://evil.example"}, 403},
		{"fetch without an origin", "DELETE", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a page of another port", "DELETE", []string{"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"}, 403},
		{"another port without an origin", "DELETE", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"something that is not known", "DELETE", []string{"Sec-Fetch-Site", "sideways"}, 403},
		{"a page in a sandbox, or a file", "DELETE", []string{"Origin", "null"}, 403},
		{"a sandbox", "DELETE", []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, 403},
		{"no origin at all", "DELETE", []string{"Origin", "://"}, 403},
		{"an address that begins like ours", "DELETE", []string{"Origin", own + ".evil.example"}, 403},
		{"an address with ours as the user", "DELETE", []string{"Origin", own + "@evil.example"}, 403},
		{"an origin of ours with a path", "DELETE", []string{"Origin", "https://evil.example/" + c.address}, 403},
		{"a form", "POST", []string{"Origin", "https://evil.example", "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
		{"a form of a sandbox", "POST", []string{"Origin", "null", "Content-Type", "text/plain", "Sec-Fetch-Site", "cross-site"}, 403},
		{"a form, without an origin", "POST", []string{"Content-Type", "text/plain", "Sec-Fetch-Site", "cross-site"}, 403},
		{"a change", "PATCH", []string{"Origin", "https://evil.example"}, 403},
		{"a fetch to read", "GET", []string{"Origin", "https://evil.example"}, 403},
		{"a sandbox to read", "GET", []string{"Origin", "null"}, 403},
		{"whether it is there", "HEAD", []string{"Origin", "https://evil.example"}, 403},
		{"a question whether it may", "OPTIONS", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "DELETE"}, 403},
		// Whatever a page may embed, it cannot read: see the headers of every answer.
		{"a picture", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 404},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got := c.ask(tt.method, "/api/deployments/none?namespace=ml&runtime=kaito", tt.header...)
			require.Equal(t, tt.want, got.status, got.body)
			require.NotEmpty(t, got.header.Get("Content-Security-Policy"))
			require.Equal(t, "same-origin", got.header.Get("Cross-Origin-Resource-Policy"))
			for name := range got.header {
				require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
			}
		})
	}
	t.Run("EventSource", func(t *testing.T) {
		got := c.get("/api/stream", "Origin", "https://evil.example", "Accept", "text/event-stream", "Sec-Fetch-Site", "cross-site")
		require.Equal(t, api.ErrorCodeForbidden, got.failure(t).Code)
		require.Zero(t, c.metric("kubefoundry_stream_clients"))
		require.Zero(t, c.server.opened.Load())
		c.open(t, "", "Origin", own, "Sec-Fetch-Site", "same-origin").until("synced")
	})
}

// TestPagesThatMay: the origins of --cors-origins, told one by one; no cookie or certificate ever goes with it.
func TestPagesThatMay(t *testing.T) {
	const dashboard, other = "https://dashboard.example", "http://10.1.2.3:8080"
	for where, c := range map[string]*cluster{
		"on a laptop":  serve(t, laptop("https://Dashboard.example", other)).fill(),
		"in a cluster": serve(t, inCluster(dashboard, other), func(_ *cluster, o *Options) { o.Limits.Streams = 1 }).fill(),
	} {
		t.Run(where, func(t *testing.T) {
			allowed := func(t *testing.T, origin string, got http.Header) {
				t.Helper()
				require.Equal(t, []string{origin}, got.Values("Access-Control-Allow-Origin"))
				require.Contains(t, strings.Join(got.Values("Vary"), ","), "Origin", "no cache may give it to another")
				require.Empty(t, got.Values("Access-Control-Allow-Credentials"))
			}
			for _, origin := range []string{dashboard, other} {
				for _, method := range []string{"GET", "DELETE", "PATCH", "POST", "PUT"} {
					got := c.ask(http.MethodOptions, "/api/deployments/none", "Origin", origin, "Sec-Fetch-Site", "cross-site",
						"Access-Control-Request-Method", method, "Access-Control-Request-Headers", "authorization,content-type")
					require.Equal(t, http.StatusNoContent, got.status, got.body)
					allowed(t, origin, got.header)
					require.Equal(t, method, got.header.Get("Access-Control-Allow-Methods"))
					require.Equal(t, "authorization,content-type", got.header.Get("Access-Control-Allow-Headers"))
					require.Equal(t, "600", got.header.Get("Access-Control-Max-Age"))
				}
				for path, status := range map[string]int{"/api/deployments": 200, "/api/deployments/none": 404, "/nowhere": 404, "/api/deployments?limit=x": 400} {
					got := c.get(path, as("ann", "Origin", origin, "Sec-Fetch-Site", "cross-site")...)
					require.Equal(t, status, got.status, got.body)
					allowed(t, origin, got.header)
					require.Equal(t, "Etag, Retry-After", got.header.Get("Access-Control-Expose-Headers"))
				}
				got := c.ask(http.MethodDelete, "/api/deployments/none", as("ann", "Origin", origin, "Sec-Fetch-Site", "cross-site")...)
				require.Equal(t, http.StatusNotFound, got.status, got.body)
				allowed(t, origin, got.header)
				f := c.open(t, "", as("ann", "Origin", origin, "Sec-Fetch-Site", "cross-site")...)
				allowed(t, origin, f.header)
				if where == "in a cluster" {
					got = c.get("/api/stream", as("ann", "Origin", origin)...)
					require.Equal(t, http.StatusTooManyRequests, got.status)
					allowed(t, origin, got.header)
					got = c.get("/api/me", "Origin", origin)
					require.Equal(t, http.StatusUnauthorized, got.status)
					allowed(t, origin, got.header)
				}
				f.close()
				require.Eventually(t, func() bool { return len(c.server.streams) == 0 }, patience, shortly)
			}
			for _, header := range []string{"x-remote-user", "cookie", "impersonate-user"} {
				got := c.ask(http.MethodOptions, "/api/me", "Origin", dashboard, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", header)
				require.Empty(t, got.header.Get("Access-Control-Allow-Origin"), header)
			}
			got := c.ask(http.MethodOptions, "/api/me", "Origin", dashboard, "Access-Control-Request-Method", "CONNECT")
			require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
			for _, origin := range []string{
				"https://evil.example", "https://dashboard.example.evil.example", "http://dashboard.example", "https://dashboard.example:8443", "https://sub.dashboard.example",
				"https://evildashboard.example", "null", "http://10.1.2.3", "https://dashboard.example/", "file://", dashboard + " " + other,
			} {
				for _, got := range []answer{
					c.ask(http.MethodOptions, "/api/deployments/none", "Origin", origin, "Access-Control-Request-Method", "DELETE"),
					c.get("/api/deployments", as("ann", "Origin", origin)...),
					c.get("/api/me", "Origin", origin),
				} {
					for name := range got.header {
						require.False(t, strings.HasPrefix(name, "Access-Control-Allow"), "%s: %s", origin, name)
					}
					if where == "on a laptop" {
						require.Equal(t, http.StatusForbidden, got.status, origin)
					}
				}
			}
		})
	}
}

func TestOriginsAreChecked(t *testing.T) {
	for _, origin := range []string{"*", "https://*", "https://*.example", "dashboard.example", "https://", "https://dashboard.example/", "https://dashboard.example/x", "null", ""} {
		_, err := New(Options{View: view.New(view.Options{}), Logger: zap.NewNop(), Registry: prometheus.NewRegistry(), Browser: BrowserOptions{Origins: []string{origin}}})
		require.ErrorContains(t, err, "--cors-origins", origin)
		require.ErrorContains(t, err, "as in https://dashboard.example", origin)
	}
}

// TestEveryAnswerIsGuarded: none can be framed, guessed at, embedded by another site, or kept for somebody else.
func TestEveryAnswerIsGuarded(t *testing.T) {
	c := serve(t, inCluster("https://dashboard.example"), func(_ *cluster, o *Options) { o.Limits = Limits{RequestRate: 0.001, RequestBurst: 20} }).fill()
	empty := serve(t)
	guarded := func(t *testing.T, path string, header http.Header) {
		t.Helper()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			require.Equal(t, []string{want}, header.Values(name), name)
		}
		require.Contains(t, header.Get("Cache-Control"), "no-cache")
		if !strings.HasPrefix(path, "/apis") && !strings.HasPrefix(path, "/openapi/") { // those say the same to everybody
			require.Contains(t, strings.Join(header.Values("Vary"), ","), "Authorization")
		}
		require.Empty(t, header.Get("Set-Cookie"))
		require.Empty(t, header.Get("Server"))
	}
	for c.get("/api/me", as("hasty")...).status == http.StatusOK { // until there is too much of it
	}
	etag := c.get("/api/deployments", as("ann")...).header.Get("ETag")
	for _, tt := range []struct {
		c            *cluster
		method, path string
		status       int
		header       []string
	}{
		{c, "GET", "/api/deployments", 200, as("ann")},
		{c, "GET", "/api/deployments", 200, as("ann", "Accept-Encoding", "gzip")},
		{c, "GET", "/api/deployments", 304, as("ann", "If-None-Match", etag)},
		{c, "HEAD", "/api/deployments", 200, as("ann")},
		{c, "HEAD", "/api/stream", 200, as("ann")},
		{c, "GET", "/api/me", 200, as("ann")},
		{c, "GET", "/metrics", 200, as("prometheus")},
		{c, "GET", "/livez", 200, nil},
		{c, "GET", "/openapi.json", 200, nil},
		{c, "GET", "/apis/live.kubefoundry.io/v1alpha1", 200, nil},
		{c, "GET", "/openapi/v2", 200, nil},
		{c, "OPTIONS", "/api/me", 204, []string{"Origin", "https://dashboard.example", "Access-Control-Request-Method", "GET"}},
		{c, "GET", "/api/deployments?limit=0", 400, as("ann")},
		{c, "GET", "/api/deployments", 401, nil},
		{c, "HEAD", "/api/deployments", 401, nil},
		{c, "GET", "/metrics", 403, as("ann")},
		{c, "GET", "/nowhere", 404, nil},
		{c, "GET", "/apis/other", 404, nil},
		{c, "POST", "/api/stream", 405, nil},
		{c, "POST", "/apis/live.kubefoundry.io/v1alpha1", 405, nil},
		{c, "GET", "/api/me", 429, as("hasty")},
		{c, "GET", "/api/me", 500, as("panics")},
		{c, "GET", "/api/me", 500, as("fails")},
		{c, "GET", "/api/me", 503, as("unknown")},
		{empty, "GET", "/api/deployments", 503, nil},
		{empty, "GET", "/readyz", 503, nil},
	} {
		t.Run(fmt.Sprint(tt.method, " ", tt.path, " ", tt.status), func(t *testing.T) {
			got := tt.c.ask(tt.method, tt.path, tt.header...)
			require.Equal(t, tt.status, got.status, got.body)
			guarded(t, tt.path, got.header)
		})
	}
	t.Run("a stream", func(t *testing.T) { guarded(t, streamPath, c.open(t, "", as("ann")...).header) })
	t.Run("too large", func(t *testing.T) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/api/me", strings.NewReader(strings.Repeat("x", maxBody+1)))
		require.NoError(t, err)
		got := c.do(r)
		require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
		guarded(t, "/api/me", got.header)
	})
}
