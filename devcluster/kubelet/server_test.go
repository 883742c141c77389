package kubelet

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubefoundry/kubefoundry/devcluster/pki"
)

// ticker is a container that has written one line every 100 ms for a second when
// the test starts, and writes on.
type ticker struct{ from time.Time }

func (l ticker) Lines(_ context.Context, c Container, after, until time.Time) (iter.Seq2[time.Time, string], error) {
	if c.Name != "main" {
		return nil, fmt.Errorf("container %s: %w", c.Name, fs.ErrNotExist)
	}
	return func(yield func(time.Time, string) bool) {
		for i := 0; ; i++ {
			at := l.from.Add(time.Duration(i) * 100 * time.Millisecond)
			if at.After(until) {
				return
			}
			if at.After(after) && !yield(at, fmt.Sprintf("line %d", i)) {
				return
			}
		}
	}, nil
}

// answer is a response whose body is closed when the test ends.
type answer struct {
	status int
	body   io.Reader
}

func start(t *testing.T) (get func(user, path string) answer, from time.Time) {
	t.Helper()
	dir := t.TempDir()
	certs, err := pki.NewCluster(filepath.Join(dir, "pki"), "10.255.255.1")
	if err != nil {
		t.Fatal(err)
	}
	from = time.Now().Add(-time.Second)
	server := NewServer(TLS{
		CertFile: certs.CertFile(pki.Kubelet), KeyFile: certs.KeyFile(pki.Kubelet),
		Callers: certs.Authority().Pool(), CallerName: pki.KubeletClientName,
	}, ticker{from})
	server.pollEvery = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	socket, done := filepath.Join(dir, "kubelet"), make(chan error, 1)
	go func() { done <- server.Run(ctx, socket) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(user, path string) answer {
		t.Helper()
		config := &tls.Config{RootCAs: certs.Authority().Pool(), ServerName: "10.255.255.1", MinVersion: tls.VersionTLS12}
		if user != "" {
			pair, err := tls.LoadX509KeyPair(certs.CertFile(user), certs.KeyFile(user))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		transport := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			for {
				conn, err := dialer.DialContext(ctx, "unix", socket)
				if err == nil || ctx.Err() != nil {
					return conn, err
				}
				time.Sleep(time.Millisecond)
			}
		}}
		t.Cleanup(transport.CloseIdleConnections)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://kubelet"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return answer{response.StatusCode, response.Body}
	}, from
}

func TestServer(t *testing.T) {
	t.Parallel()
	get, from := start(t)
	const logs = "/containerLogs/ns/pod/main"
	for _, tc := range []struct {
		user, path string
		status     int
		body       string // a prefix
	}{
		{pki.KubeletClient, "/healthz", 200, "ok"},
		{"", "/healthz", 401, "a client certificate"},
		{pki.Controllers, logs, 403, "system:kube-controller-manager may not"},
		{pki.KubeletClient, logs, 200, "line 0\nline 1\n"},
		{pki.KubeletClient, logs + "?sinceTime=" + from.Add(450*time.Millisecond).UTC().Format(time.RFC3339Nano), 200, "line 5\nline 6\n"},
		{pki.KubeletClient, logs + "?sinceSeconds=3600&limitBytes=9", 200, "line 0\nli"},
		{pki.KubeletClient, logs + "?timestamps=true", 200, from.UTC().Format("2006-01-02T15:04:")},
		{pki.KubeletClient, logs + "?tailLines=0", 200, ""},
		{pki.KubeletClient, logs + "?tailLines=-1", 400, "tailLines=-1"},
		{pki.KubeletClient, logs + "?follow=perhaps", 400, "follow=perhaps"},
		{pki.KubeletClient, "/containerLogs/ns/pod/none", 404, "container none"},
		{pki.KubeletClient, "/exec/ns/pod/main?command=sh", 501, "exec is not there"},
		{pki.KubeletClient, "/portForward/ns/pod", 501, "portForward is not there"},
	} {
		response := get(tc.user, tc.path)
		body, err := io.ReadAll(response.body)
		if err != nil {
			t.Fatal(err)
		}
		if response.status != tc.status || !strings.HasPrefix(string(body), tc.body) || (tc.body == "" && len(body) > 0) {
			t.Errorf("%s as %q: %d %q, want %d %q…", tc.path, tc.user, response.status, body, tc.status, tc.body)
		}
	}
	body, err := io.ReadAll(get(pki.KubeletClient, logs+"?tailLines=3").body)
	if err != nil || strings.Count(string(body), "\n") != 3 {
		t.Errorf("three last lines: %q, %v", body, err)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	get, _ := start(t)
	lines := bufio.NewScanner(get(pki.KubeletClient, "/containerLogs/ns/pod/main?follow=true&tailLines=1").body)
	first := -1
	for i := range 5 {
		if !lines.Scan() {
			t.Fatalf("the log ended after %d lines: %v", i, lines.Err())
		}
		var number int
		if _, err := fmt.Sscanf(lines.Text(), "line %d", &number); err != nil {
			t.Fatal(err)
		}
		if first < 0 {
			first = number
		}
		if number != first+i {
			t.Fatalf("line %d follows after %d lines from %d: one is lost or doubled", number, i, first)
		}
	}
}
