package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"
)

// dialTimeout bounds a connection to a loopback address; a missing listener
// answers at once, so only a full accept queue ever takes longer.
const dialTimeout = 5 * time.Second

// ErrNoRoute says that an address is not in the simulated network.
var ErrNoRoute = errors.New("no route: only 10.0.0.0/8 and 127.0.0.0/8 are reachable from this cluster")

// Proxy is the CONNECT proxy.
type Proxy struct {
	// static are addresses with a listener of their own on a unix socket.
	static map[string]string
	pods   Dialer
}

// NewProxy makes a proxy. static maps "10.a.b.c:port" to the path of a unix
// socket, for servers that must not take a TCP port; it is not changed after
// this call. pods may be nil.
func NewProxy(static map[string]string, pods Dialer) *Proxy {
	return &Proxy{static: static, pods: pods}
}

// Run serves on a new unix socket at path until ctx is done, and removes it.
// ready is closed once connections are accepted.
func (p *Proxy) Run(ctx context.Context, path string, ready chan<- struct{}) error {
	// A socket that a killed process left behind would refuse the bind.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("egress socket: %w", err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("egress socket %s: %w", path, err)
	}
	close(ready)
	server := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: dialTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("egress proxy: %w", err)
	}
	return nil
}

// ServeHTTP answers CONNECT host:port and copies bytes until either side ends.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this is an egress proxy: CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	upstream, err := p.dial(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	// A hijacked connection is no longer the server's to close.
	stop := context.AfterFunc(r.Context(), func() { _ = client.Close(); _ = upstream.Close() })
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(upstream, buffered)
		// The caller is done sending; what it asked for may still be on its way.
		if half, ok := upstream.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		} else {
			_ = upstream.Close()
		}
	}()
	_, _ = io.Copy(client, upstream)
	// The other copy reads from client: closing it is what ends that goroutine.
	_ = client.Close()
	_ = upstream.Close()
	<-sent
}

func (p *Proxy) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var dialer net.Dialer
	if path, ok := p.static[address]; ok {
		return dialer.DialContext(ctx, "unix", path)
	}
	target, err := loopback(address)
	if err != nil {
		return nil, err
	}
	if p.pods != nil {
		if conn, ok := p.pods.DialPod(ctx, address); ok {
			return conn, nil
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, fmt.Errorf("nothing serves %s: %w", address, err)
	}
	return conn, nil
}

// loopback maps 10.a.b.c:port to 127.a.b.c:port and leaves 127.a.b.c:port as it
// is.
func loopback(address string) (string, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", fmt.Errorf("%s: %w", address, ErrNoRoute)
	}
	ip := ap.Addr().Unmap()
	if !ip.Is4() {
		return "", fmt.Errorf("%s: %w", address, ErrNoRoute)
	}
	b := ip.As4()
	switch b[0] {
	case 10, 127:
		b[0] = 127
		return netip.AddrPortFrom(netip.AddrFrom4(b), ap.Port()).String(), nil
	default:
		return "", fmt.Errorf("%s: %w", address, ErrNoRoute)
	}
}
