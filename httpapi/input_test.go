package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/view"
)

// TestBadInputIsNamed: what is wrong, where, and what would be right.
func TestBadInputIsNamed(t *testing.T) {
	document, _, err := loadDocument()
	require.NoError(t, err)
	kinds := allowed(document.Components.Schemas["Kind"].Value)
	kinds = strings.TrimPrefix(kinds, "one of ")
	const name = "lower case letters, digits and dashes, beginning and ending with a letter or a digit"
	c := serve(t).fill()
	for target, want := range map[string][]api.ErrorDetail{
		"/api/deployments?namespace=ML":                          {{Field: "namespace", Message: "must be 1 to 63 characters: " + name}},
		"/api/deployments?namespace=" + strings.Repeat("a", 64):  {{Field: "namespace", Message: "must be 1 to 63 characters: " + name}},
		"/api/deployments?namespace=../":                         {{Field: "namespace", Message: "must be 1 to 63 characters: " + name}},
		"/api/deployments?namespace=ml%0a":                       {{Field: "namespace", Message: "must be 1 to 63 characters: " + name}},
		"/api/deployments?namespace=":                            {{Field: "namespace", Message: "must be 1 to 63 characters: " + name}},
		"/api/deployments?namespace=" + strings.Repeat("A", 100): {{Field: "namespace", Message: "must be 1 to 63 characters: " + name}},
		"/api/deployments?runtime=-":                             {{Field: "runtime", Message: "must be at most 63 characters: " + name}},
		"/api/deployments?phase=running":                         {{Field: "phase", Message: "must be one of Pending, Deploying, Running, Failed, Terminating"}},
		"/api/deployments?engine=tgi":                            {{Field: "engine", Message: "must be one of vllm, sglang, trtllm, llamacpp"}},
		"/api/deployments?sort=age":                              {{Field: "sort", Message: "must be one of createdAt, updatedAt, name, namespace, modelId, provider, engine, phase"}},
		"/api/deployments?order=up":                              {{Field: "order", Message: "must be one of asc, desc"}},
		"/api/deployments?limit=0":                               {{Field: "limit", Message: "must be a whole number from 1 to 1000"}},
		"/api/deployments?limit=1001":                            {{Field: "limit", Message: "must be a whole number from 1 to 1000"}},
		"/api/deployments?limit=abc":                             {{Field: "limit", Message: "must be a whole number from 1 to 1000"}},
		"/api/deployments?limit=1.5":                             {{Field: "limit", Message: "must be a whole number from 1 to 1000"}},
		"/api/deployments?limit=":                                {{Field: "limit", Message: "must be a whole number from 1 to 1000"}},
		"/api/deployments?limit=99999999999999999999999":         {{Field: "limit", Message: "must be a whole number from 1 to 1000"}},
		"/api/deployments?limit=1&limit=2":                       {{Field: "limit", Message: "may be given only once"}},
		"/api/deployments?offset=-1":                             {{Field: "offset", Message: "must be a whole number of at least 0"}},
		"/api/deployments?offset=9223372036854775808":            {{Field: "offset", Message: "must be a whole number of at least 0"}},
		"/api/deployments?q=":                                    {{Field: "q", Message: "must be 1 to 200 characters"}},
		"/api/deployments?q=" + strings.Repeat("x", 201):         {{Field: "q", Message: "must be 1 to 200 characters"}},
		"/api/deployments?q=%zz":                                 {{Field: "query", Message: "cannot be read: after each % two hexadecimal digits have to follow, and parameters are separated by &"}},
		"/api/deployments?q=a;limit=1":                           {{Field: "query", Message: "cannot be read: after each % two hexadecimal digits have to follow, and parameters are separated by &"}},
		"/api/deployments?limit=x&offset=-1&order=up":            {{Field: "order", Message: "must be one of asc, desc"}, {Field: "limit", Message: "must be a whole number from 1 to 1000"}, {Field: "offset", Message: "must be a whole number of at least 0"}},
		"/api/deployments/No":                                    {{Field: "name", Message: "must be 1 to 253 characters: lower case letters, digits, dots and dashes, beginning and ending with a letter or a digit"}},
		"/api/deployments/%3Cscript%3E":                          {{Field: "name", Message: "must be 1 to 253 characters: lower case letters, digits, dots and dashes, beginning and ending with a letter or a digit"}},
		"/api/deployments/..":                                    {{Field: "name", Message: "must be 1 to 253 characters: lower case letters, digits, dots and dashes, beginning and ending with a letter or a digit"}},
		"/api/deployments/qwen?namespace=M&runtime=-":            {{Field: "namespace", Message: "must be 1 to 63 characters: " + name}, {Field: "runtime", Message: "must be at most 63 characters: " + name}},
		"/api/deployments/" + strings.Repeat("a", 254) + "/pods": {{Field: "name", Message: "must be 1 to 253 characters: lower case letters, digits, dots and dashes, beginning and ending with a letter or a digit"}},
		"/api/cluster/nodes?includeCordoned=yes":                 {{Field: "includeCordoned", Message: "must be true or false"}},
		"/api/stream?kinds=secrets":                              {{Field: "kinds", Message: "must be one of " + kinds + "; or several of them, separated by commas"}},
		"/api/stream?kinds=pods,sources":                         {{Field: "kinds", Message: "must be one of " + kinds + "; or several of them, separated by commas"}},
		"/api/stream?kinds=":                                     {{Field: "kinds", Message: "must be one of " + kinds + "; or several of them, separated by commas"}},
		"/api/stream?since=yesterday":                            {{Field: "since", Message: "must be " + cursorWords}},
		"/api/stream?since=e1-007":                               {{Field: "since", Message: "must be " + cursorWords}},
		"/api/stream?since=e1-99999999999999999999":              {{Field: "since", Message: "must be " + cursorWords}},
		"/api/stream?since=" + strings.Repeat("a", 50) + "-1":    {{Field: "since", Message: "must be " + cursorWords}},
		"/api/stream?since=e1-1%0d%0aSet-Cookie:%20a":            {{Field: "since", Message: "must be " + cursorWords}},
		"/api/stream?kinds=x&namespace=M&since=y":                nil,
	} {
		t.Run(short(target), func(t *testing.T) {
			e := c.get(target).failure(t)
			require.Equal(t, api.ErrorCodeInvalidRequest, e.Code)
			require.Equal(t, http.StatusBadRequest, e.StatusCode)
			if want != nil {
				require.ElementsMatch(t, want, e.Details)
			} else {
				require.Len(t, e.Details, 3, "everything at once")
			}
			for _, d := range e.Details {
				require.Contains(t, e.Message, d.Field+" "+d.Message)
			}
			require.Less(t, len(e.Message), 1000)
		})
	}
}

func short(s string) string { return fmt.Sprintf("%.60s", s) }

// TestWhatIsNotServed is answered in the one shape, and hostile text comes back neither at length nor as markup.
func TestWhatIsNotServed(t *testing.T) {
	c := serve(t).fill()
	long := strings.Repeat("x", 20_000)
	for _, tt := range []struct {
		method, target string
		status         int
		allow          string
		message        string
	}{
		{"GET", "/", 404, "", "Route not found: GET /. /openapi.json lists all routes."},
		{"GET", "/api/deployments/", 404, "", "Route not found: GET /api/deployments/. /openapi.json lists all routes."},
		{"GET", "/api//deployments", 404, "", ""},
		{"GET", "/api/deployments/../cluster", 404, "", ""},
		{"GET", "/api/deployments/a%2Fb", 404, "", ""},
		{"GET", "/api/secrets", 404, "", ""},
		{"GET", "/API/deployments", 404, "", ""},
		{"GET", "/%3Cscript%3Ealert(1)%3C/script%3E", 404, "", ""},
		{"GET", "/%00%0a%ff", 404, "", ""},
		{"GET", "/" + long, 404, "", ""},
		{"PUT", "/api/deployments", 405, "GET, HEAD, POST", "/api/deployments does not answer PUT, only GET, HEAD, POST"},
		{"OPTIONS", "/api/deployments", 405, "GET, HEAD, POST", ""},
		{"PUT", "/api/deployments/" + long, 405, "DELETE, GET, HEAD, PATCH", ""},
		{"DELETE", "/api/stream", 405, "GET, HEAD", ""},
		{strings.Repeat("X", 3000), "/api/stream", 405, "GET, HEAD", ""},
		{strings.Repeat("X", 3000), "/nowhere", 404, "", ""},
		{"GET", "/api/deployments/none", 404, "", "Deployment none not found in any namespace"},
		{"GET", "/api/deployments/none?namespace=ml&runtime=kaito", 404, "", "Deployment none of runtime kaito not found in namespace ml"},
	} {
		t.Run(short(tt.method+" "+tt.target), func(t *testing.T) {
			a := c.ask(tt.method, tt.target)
			e := a.failure(t)
			require.Equal(t, tt.status, e.StatusCode)
			require.Equal(t, tt.allow, a.header.Get("Allow"))
			require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
			require.Less(t, len(a.body), 2000)
			require.NotContains(t, a.body, "<script")
			if tt.message != "" {
				require.Equal(t, tt.message, e.Message)
			}
		})
	}
	t.Run("HEAD of a route that is not there", func(t *testing.T) {
		a := c.ask(http.MethodHead, "/api/deployments/")
		require.Equal(t, http.StatusNotFound, a.status)
		require.Empty(t, a.body)
	})
}

func TestTooMuch(t *testing.T) {
	c := serve(t).fill()
	t.Run("headers", func(t *testing.T) {
		connection := c.dial(t)
		go func() {
			_, _ = fmt.Fprintf(connection, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 10<<20))
		}()
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
	})
	t.Run("body", func(t *testing.T) {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			r, err := http.NewRequestWithContext(t.Context(), method, c.url+"/api/deployments", bytes.NewReader(make([]byte, 10<<20)))
			require.NoError(t, err)
			e := c.do(r).failure(t)
			require.Equal(t, api.ErrorCodeTooLarge, e.Code)
			require.Equal(t, "the body has 10485760 bytes; at most 1048576 are taken", e.Message)
		}
	})
	t.Run("body of unknown length", func(t *testing.T) {
		connection := c.dial(t)
		go func() {
			_, _ = io.WriteString(connection, "GET /api/deployments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 10 << 4 {
				_, _ = fmt.Fprintf(connection, "10000\r\n%s\r\n", make([]byte, 0x10000))
			}
		}()
		r := bufio.NewReader(connection)
		response, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		response.Body.Close()
		_, err = io.Copy(io.Discard, r)
		require.False(t, isTimeout(err), "closed rather than read to the end")
	})
}

func (c *cluster) dial(t *testing.T) net.Conn {
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.address)
	require.NoError(t, err)
	t.Cleanup(func() { connection.Close() })
	require.NoError(t, connection.SetDeadline(time.Now().Add(patience)))
	return connection
}

func TestOldClients(t *testing.T) {
	c := serve(t).fill()
	talk := func(t *testing.T, request string) (*http.Response, *bufio.Reader) {
		connection := c.dial(t)
		_, err := io.WriteString(connection, request)
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		require.NoError(t, err)
		t.Cleanup(func() { response.Body.Close() })
		return response, bufio.NewReader(response.Body)
	}
	t.Run("a list over HTTP/1.0", func(t *testing.T) {
		response, body := talk(t, "GET /api/deployments HTTP/1.0\r\n\r\n")
		require.Equal(t, http.StatusOK, response.StatusCode)
		b, err := io.ReadAll(body)
		require.NoError(t, err)
		valid(t, c.server.document, "DeploymentList", b)
	})
	t.Run("a stream over HTTP/1.0", func(t *testing.T) {
		response, body := talk(t, "GET /api/stream HTTP/1.0\r\n\r\n")
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Empty(t, response.TransferEncoding)
		line, err := body.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "id: \n", line)
	})
	t.Run("no host", func(t *testing.T) {
		response, _ := talk(t, "GET /api/deployments HTTP/1.1\r\n\r\n")
		require.Equal(t, http.StatusBadRequest, response.StatusCode)
	})
	t.Run("a cookie is dropped", func(t *testing.T) {
		seen := make(chan string, 1)
		handler := c.server.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Cookie") }))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Cookie", "token=secret")
		handler.ServeHTTP(httptest.NewRecorder(), r)
		require.Empty(t, <-seen)
	})
}

// TestSlowRequestsAreCut: a header that comes a byte at a time, and a body that never comes.
func TestSlowRequestsAreCut(t *testing.T) {
	server := HTTPServer(http.NotFoundHandler(), zap.NewNop())
	require.Equal(t, 10*time.Second, server.ReadHeaderTimeout)
	require.Positive(t, server.IdleTimeout)
	require.Zero(t, server.ReadTimeout+server.WriteTimeout, "they would end streams")

	c := serve(t, func(c *cluster, _ *Options) { c.tune = func(s *http.Server) { s.ReadHeaderTimeout = 10 * shortly } })
	connection := c.dial(t)
	stop := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(connection, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		for {
			select {
			case <-stop:
				return
			case <-time.After(shortly):
				_, _ = io.WriteString(connection, "x")
			}
		}
	}()
	_, err := io.Copy(io.Discard, connection)
	require.False(t, isTimeout(err), "the server closes")
	close(stop)
	<-sent
}

// TestNoPanicGetsOut: one request that fails in a way that nobody thought of must not end the process nor the others.
func TestNoPanicGetsOut(t *testing.T) {
	c := serve(t)
	handler := c.server.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	e := answer{w.Code, w.Header(), w.Body.String()}.failure(t)
	require.Equal(t, api.ErrorCodeInternal, e.Code)
	require.NotContains(t, w.Body.String(), "secret")
}

// FuzzQuery: whatever stands in a query, the answer is one of those that the document names.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"", "namespace=ml&limit=2", "limit=&offset=", "q=%zz", "sort=name&order=asc&q=a", "since=e1-1", "since=e1-18446744073709551616", "kinds=pods,nodes",
		"kinds=pods&kinds=nodes", "kinds=%2C", "limit=1e3", "limit=+5", "offset=9223372036854775807&limit=1000", "a;b", "q=%00", "limit[]=1", "namespace=a&namespace=b",
	} {
		f.Add(query)
	}
	c := &cluster{t: f, view: view.New(view.Options{}), epoch: "e1"}
	c.fill()
	server, err := New(Options{View: c.view, Identity: auth.NewUnchecked(away(), "fuzz"), Logger: zap.NewNop(), Registry: prometheus.NewRegistry()})
	require.NoError(f, err)
	f.Cleanup(server.Close)
	handler := server.Handler()
	f.Fuzz(func(t *testing.T, query string) {
		for _, target := range []struct{ method, path string }{{"GET", "/api/deployments"}, {"HEAD", "/api/stream"}, {"GET", "/api/deployments/qwen"}, {"GET", "/api/cluster/nodes"}} {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), target.method, target.path, http.NoBody)
			r.URL = &url.URL{Path: target.path, RawQuery: query}
			handler.ServeHTTP(w, r)
			switch w.Code {
			case http.StatusOK, http.StatusNotModified:
			case http.StatusBadRequest:
				e := answer{w.Code, w.Header(), w.Body.String()}.failure(t)
				require.NotEmpty(t, e.Details)
				require.Less(t, len(e.Message), 2000)
			case http.StatusNotFound: // of a deployment in another namespace
				require.Equal(t, "/api/deployments/qwen", target.path)
			default:
				t.Fatalf("%s %q: %d %s", target.path, query, w.Code, w.Body)
			}
		}
	})
}
