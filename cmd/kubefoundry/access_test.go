package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// noCluster is a kubeconfig whose API server does not answer: who may reach this server is decided before.
func noCluster(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: "http://127.0.0.1:1"}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: "x"}},
		Contexts:       map[string]*clientcmdapi.Context{"nowhere": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "nowhere",
	}, file))
	return file
}

// TestServeStaysOutOfReach of those who could do with it what the kubeconfig can, or read tokens on their way, and says what to
// do instead.
func TestServeStaysOutOfReach(t *testing.T) {
	config := noCluster(t)
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"everywhere":                  {[]string{"--listen", "0.0.0.0:0"}, []string{"reached from other machines", "without authentication", "listen on 127.0.0.1", "--authentication on"}},
		"everywhere, IPv6":            {[]string{"--listen", "[::]:0"}, []string{"without authentication"}},
		"no address":                  {[]string{"--listen", ":0"}, []string{"without authentication"}},
		"off, said so":                {[]string{"--listen", ":0", "--authentication", "off"}, []string{"without authentication"}},
		"off, with TLS":               {[]string{"--listen", ":0", "--authentication", "off", "--tls-service", "x"}, []string{"without authentication"}},
		"off, with plain HTTP":        {[]string{"--listen", ":0", "--authentication", "off", "--allow-plain-http"}, []string{"without authentication"}},
		"on, without TLS":             {[]string{"--listen", ":0", "--authentication", "on"}, []string{"without TLS", "--tls-certificate and --tls-key", "--tls-service", "--allow-plain-http"}},
		"authentication, misspelt":    {[]string{"--authentication", "yes"}, []string{`"yes"`, "on, off or auto"}},
		"authentication, in capitals": {[]string{"--authentication", "ON"}, []string{`"ON"`, "on, off or auto"}},
		"authentication, empty":       {[]string{"--authentication", ""}, []string{`""`, "on, off or auto"}},
		"a certificate without a key": {[]string{"--tls-certificate", "x"}, []string{"--tls-certificate and --tls-key go together"}},
		"a key without a certificate": {[]string{"--tls-key", "x"}, []string{"--tls-certificate and --tls-key go together"}},
		"two certificates":            {[]string{"--tls-certificate", "x", "--tls-key", "y", "--tls-service", "z"}, []string{"exclude each other"}},
		"no certificate there":        {[]string{"--tls-certificate", "/nowhere.crt", "--tls-key", "/nowhere.key"}, []string{"/nowhere"}},
		"an origin without a scheme":  {[]string{"--cors-origins", "dashboard.example"}, []string{"--cors-origins", "https://dashboard.example"}},
		"every origin":                {[]string{"--cors-origins", "*"}, []string{"--cors-origins"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := execute(t, append([]string{"serve", "--kubeconfig", config, "--log-level", "error", "--listen", "127.0.0.1:0"}, tt.args...)...)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	t.Run("from the environment", func(t *testing.T) {
		t.Setenv("KUBEFOUNDRY_AUTHENTICATION", "none")
		_, err := execute(t, "serve", "--kubeconfig", config, "--listen", "127.0.0.1:0")
		require.ErrorContains(t, err, `"none"`)
	})
}

func TestWhoMayReachWhat(t *testing.T) {
	loopback, everywhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4zero}
	other := &net.TCPAddr{IP: net.IPv4(127, 99, 1, 1)}
	for _, ok := range []struct {
		o       accessOptions
		address net.Addr
	}{
		{accessOptions{authentication: "auto"}, loopback},
		{accessOptions{authentication: "off"}, other},
		{accessOptions{authentication: "off"}, &net.TCPAddr{IP: net.IPv6loopback}},
		{accessOptions{authentication: "on"}, loopback},
		{accessOptions{authentication: "on", service: "x"}, everywhere},
		{accessOptions{authentication: "on", certificateFile: "x", key: "y"}, everywhere},
		{accessOptions{authentication: "on", plain: true}, everywhere},
	} {
		assert.NoError(t, ok.o.check(ok.address), "%+v at %s", ok.o, ok.address)
	}
	for _, bad := range []net.Addr{everywhere, &net.TCPAddr{IP: net.IPv6zero}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4(128, 0, 0, 1)}, &net.TCPAddr{}} {
		assert.Error(t, (&accessOptions{authentication: "off"}).check(bad), bad)
		assert.Error(t, (&accessOptions{authentication: "on"}).check(bad), bad)
	}
	t.Run("auto is on in a pod", func(t *testing.T) {
		assert.False(t, (&accessOptions{authentication: "auto"}).authenticates())
		t.Setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
		o := accessOptions{authentication: "auto"}
		assert.True(t, o.authenticates())
		assert.Nil(t, o.hosts(loopback), "who has a token may call it what they like")
		assert.Error(t, o.check(everywhere), "without TLS")
		assert.False(t, (&accessOptions{authentication: "off"}).authenticates())
	})
	names := (&accessOptions{authentication: "off", allowedHosts: []string{"desk.internal"}}).hosts(other)
	assert.ElementsMatch(t, []string{"localhost", "127.0.0.1", "::1", "127.99.1.1", "desk.internal"}, names)
}

// listening is `kubefoundry serve` without a cluster, from when it listens until the test ends.
func listening(t *testing.T, args ...string) (url string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		root := newRootCommand(append([]string{"serve", "--kubeconfig", noCluster(t), "--listen", address, "--log-level", "fatal"}, args...))
		ended <- root.ExecuteContext(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(20 * time.Second):
			require.Fail(t, "serve does not end")
		}
		http.DefaultClient.CloseIdleConnections()
	})
	url = "http://" + address
	require.Eventually(t, func() bool {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return false
		}
		_ = connection.Close()
		status, _ := asks(t, http.MethodGet, url+"/livez", "")
		return status == http.StatusOK
	}, time.Minute, 50*time.Millisecond)
	return url
}

// asks sends a request to a server that may be called by another name. Headers are given as name, value, name, value, …
func asks(t *testing.T, method, url, host string, header ...string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	request.Host = host
	for n := 0; n < len(header); n += 2 {
		request.Header.Set(header[n], header[n+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

// TestServeOnALaptop answers this machine's user, by the names of this machine, and the pages that were allowed.
func TestServeOnALaptop(t *testing.T) {
	url := listening(t, "--allowed-hosts", "Desk.Internal:3001", "--cors-origins", "https://dashboard.example", "--request-rate", "1", "--request-burst", "1")
	port := url[strings.LastIndex(url, ":"):]
	for _, host := range []string{"", "localhost" + port, "LOCALHOST", "[::1]" + port, "desk.internal"} {
		for range 5 { // no limits: there is one user
			status, body := asks(t, http.MethodGet, url+"/api/me", host)
			require.Equal(t, http.StatusOK, status, "%s: %s", host, body)
			require.Contains(t, body, `"via":"kubeconfig"`)
		}
	}
	for _, host := range []string{"evil.example" + port, "localhost.evil.example", "127.0.0.1.nip.io" + port, "0.0.0.0" + port} {
		status, body := asks(t, http.MethodGet, url+"/api/me", host)
		require.Equal(t, http.StatusForbidden, status, "%s: %s", host, body)
		require.Contains(t, body, "--allowed-hosts")
		require.NotContains(t, body, "nowhere")
	}
	for origin, want := range map[string]int{"https://evil.example": 403, "null": 403, "https://dashboard.example": 405, url: 405} {
		status, body := asks(t, http.MethodPost, url+"/api/me", "", "Origin", origin)
		require.Equal(t, want, status, "%s: %s", origin, body)
	}
}

// TestServeWithAuthentication answers nobody whom it does not know, also on loopback, and tells that apart from a cluster that
// does not answer.
func TestServeWithAuthentication(t *testing.T) {
	url := listening(t, "--authentication", "on")
	for _, header := range [][]string{nil, {"X-Remote-User", "kubernetes-admin"}, {"Cookie", "headlamp-auth-x.0=token"}, {"Authorization", "Basic eDp5"}, {"Origin", "https://evil.example"}} {
		for _, path := range []string{"/api/me", "/api/deployments", "/api/stream", "/metrics"} {
			status, body := asks(t, http.MethodGet, url+path, "any.name.example", header...)
			require.Equal(t, http.StatusUnauthorized, status, "%s %v: %s", path, header, body)
		}
	}
	status, body := asks(t, http.MethodGet, url+"/api/me", "", "Authorization", "Bearer secret-token")
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	require.NotContains(t, body, "secret-token")
	require.NotContains(t, body, "127.0.0.1:1", "nor where the API server is")
}
