package egress

import (
	"context"
	"net"
)

// Dialer answers for pods inside this process, so that thousands of pods serve
// HTTP without a listener and a port each.
type Dialer interface {
	// DialPod connects to address, "10.a.b.c:port". It says false if nothing in
	// this process serves that address; the proxy then tries 127.a.b.c:port.
	// One end of a [net.Pipe] will do as a connection.
	DialPod(ctx context.Context, address string) (net.Conn, bool)
}
