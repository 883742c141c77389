package metrics

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// TestWhatServersAnswer is about answers that servers in a development cluster do not give. How the Kubernetes API itself answers
// for one that cannot be reached: cluster_test.go.
func TestWhatServersAnswer(t *testing.T) {
	status := func(w http.ResponseWriter, code int, reason, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"`+message+`","reason":"`+reason+`","code":`+strconv.Itoa(code)+`}`)
	}
	target := Target{Namespace: "ml", Resource: "services", Name: "llama", Port: 80}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   api.MetricsUnavailable
	}{
		"llama.cpp without --metrics": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) }, api.MetricsUnavailableNoMetrics},
		"no such path":                {http.NotFound, api.MetricsUnavailableNoMetrics},
		"still starting":              {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, api.MetricsUnavailableNotReady},
		"a key is wanted":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, api.MetricsUnavailableDenied},
		"an error":                    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, api.MetricsUnavailableFailed},
		"a page":                      {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html></html>") }, api.MetricsUnavailableUnreadable},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			line := []byte("a{b=\"" + strings.Repeat("c", 1<<16) + "\"} 1\n")
			for range maxBytes>>16 + 1 {
				_, _ = w.Write(line)
			}
		}, api.MetricsUnavailableTooLarge},
		"it breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "a 1\n")
		}, api.MetricsUnavailableFailed},
		"the network": {func(w http.ResponseWriter, _ *http.Request) {
			status(w, 503, "ServiceUnavailable", "error trying to reach service: dial tcp 10.0.0.1:80: no route to host")
		}, api.MetricsUnavailableUnreachable},
		"nothing listens": {func(w http.ResponseWriter, _ *http.Request) {
			status(w, 503, "ServiceUnavailable", "error trying to reach service: dial tcp 10.0.0.1:80: connect: connection refused")
		}, api.MetricsUnavailableRefused},
		"a slow network": {func(w http.ResponseWriter, _ *http.Request) {
			status(w, 503, "ServiceUnavailable", "error trying to reach service: dial tcp 10.0.0.1:80: i/o timeout")
		}, api.MetricsUnavailableTimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				require.Equal(t, "/api/v1/namespaces/ml/services/http:llama:80/proxy/metrics", r.URL.Path)
				test.answer(w, r)
			}))
			defer server.Close()
			samples, f, err := scrape(t.Context(), &rest.Config{Host: server.URL}, target)
			require.NoError(t, err)
			require.Empty(t, samples)
			require.Equal(t, test.want, f.reason, f.message)
			require.Contains(t, f.message, "service llama:80")
		})
	}
	t.Run("the Kubernetes API has enough of it", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { status(w, 429, "TooManyRequests", "later") }))
		defer server.Close()
		_, f, err := scrape(t.Context(), &rest.Config{Host: server.URL}, target)
		require.Nil(t, f)
		require.True(t, apierrors.IsTooManyRequests(err), err)
	})
	t.Run("the Kubernetes API is away", func(t *testing.T) {
		_, f, err := scrape(t.Context(), &rest.Config{Host: "http://127.0.0.1:1"}, target)
		require.Nil(t, f)
		require.Error(t, err)
	})
	t.Run("the server ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, f, err := scrape(ctx, &rest.Config{Host: "http://127.0.0.1:1"}, target)
		require.Nil(t, f)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestNoTokenFollowsARedirect: a model server that sends its visitors elsewhere does not get their token there.
func TestNoTokenFollowsARedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was sent on, with the headers %v", r.URL, r.Header)
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/metrics", http.StatusTemporaryRedirect))
	defer server.Close()
	_, f, err := scrape(t.Context(), &rest.Config{Host: server.URL, BearerToken: "secret"}, Target{Namespace: "ml", Resource: "pods", Name: "p", Port: 1})
	require.NoError(t, err)
	require.Equal(t, api.MetricsUnavailableFailed, f.reason)
	require.NotContains(t, f.message, "secret")
}
