package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

func TestLoopback(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ address, want string }{
		{"10.1.2.3:8000", "127.1.2.3:8000"},
		{"127.0.0.1:80", "127.0.0.1:80"},
		{"10.255.255.255:65535", "127.255.255.255:65535"},
		{"[::ffff:10.1.2.3]:80", "127.1.2.3:80"},
		{"11.1.2.3:80", ""},
		{"192.168.1.1:80", ""},
		{"example.com:80", ""},
		{"10.1.2.3", ""},
		{"[::1]:80", ""},
		{"", ""},
	} {
		got, err := loopback(tc.address)
		if got != tc.want {
			t.Errorf("loopback(%q) = %q, want %q", tc.address, got, tc.want)
		}
		if (err != nil) != (tc.want == "") {
			t.Errorf("loopback(%q): error %v", tc.address, err)
		}
		if err != nil && !errors.Is(err, ErrNoRoute) {
			t.Errorf("loopback(%q): error %v is not ErrNoRoute", tc.address, err)
		}
	}
}

// echoPods answers on one address with one end of a pipe.
type echoPods struct{ address string }

func (e echoPods) DialPod(_ context.Context, address string) (net.Conn, bool) {
	if address != e.address {
		return nil, false
	}
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		_, _ = io.Copy(there, there)
	}()
	return here, true
}

func TestProxyRoutes(t *testing.T) {
	t.Parallel()
	tcp := httptest.NewServer(http.NotFoundHandler())
	defer tcp.Close()
	dir := t.TempDir()
	var listen net.ListenConfig
	unix, err := listen.Listen(t.Context(), "unix", filepath.Join(dir, "static"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = http.Serve(unix, http.NotFoundHandler()) }()
	defer unix.Close()

	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	socket := filepath.Join(dir, "egress")
	proxy := NewProxy(map[string]string{"10.255.255.1:10250": unix.Addr().String()}, echoPods{"10.0.0.7:8000"})
	go func() { done <- proxy.Run(ctx, socket, ready) }()
	<-ready

	connect := func(address string) (net.Conn, int) {
		t.Helper()
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "CONNECT "+address+" HTTP/1.1\r\nHost: "+address+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return conn, response.StatusCode
	}
	_, port, err := net.SplitHostPort(tcp.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]int{
		"10.0.0.1:" + port:   http.StatusOK,
		"10.0.0.7:8000":      http.StatusOK,
		"10.255.255.1:10250": http.StatusOK,
		"10.0.0.8:1":         http.StatusBadGateway,
		"93.184.216.34:80":   http.StatusBadGateway,
	} {
		if _, status := connect(address); status != want {
			t.Errorf("CONNECT %s: status %d, want %d", address, status, want)
		}
	}
	conn, _ := connect("10.0.0.7:8000")
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "hello" {
		t.Errorf("in-process pod answered %q, %v", answer, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Open tunnels end with the proxy.
	if _, err := conn.Read(answer); err == nil {
		t.Error("the tunnel outlived the proxy")
	}
}
