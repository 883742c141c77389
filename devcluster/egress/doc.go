// Package egress is the only way out of the API server of a development
// cluster: an HTTP CONNECT proxy on a unix socket, named as the "cluster" egress
// in the API server's egress selector configuration. Requests to pods, services,
// nodes, webhooks and aggregated APIs all come through here.
//
// Its one law: nothing leaves the loopback range. The simulated network is
// 10.0.0.0/8; an address in it is answered by a [Dialer] inside this process,
// or else is 127.a.b.c with the same last three bytes and the same port. Every
// other address has no route.
package egress
