package modelserver

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// podAddress is the address of a pod as that of a connection's end.
type podAddress struct{ netip.AddrPort }

// Network implements net.Addr.
func (podAddress) Network() string { return "pod" }

// pipes is a listener for connections inside this process.
type pipes struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newPipes() *pipes { return &pipes{incoming: make(chan net.Conn), closed: make(chan struct{})} }

// dial gives one end of a pipe to the server, which sees target as its own
// address, and returns the other.
func (p *pipes) dial(ctx context.Context, target netip.AddrPort) (net.Conn, bool) {
	client, server := net.Pipe()
	select {
	case p.incoming <- podConn{Conn: server, local: podAddress{target}}:
		return client, true
	case <-p.closed:
	case <-ctx.Done():
	}
	client.Close()
	server.Close()
	return nil, false
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.incoming:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return podAddress{} }

// podConn is the server's end of a pipe.
type podConn struct {
	net.Conn
	local podAddress
}

// LocalAddr is the pod that was dialled.
func (c podConn) LocalAddr() net.Addr { return c.local }
