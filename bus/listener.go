package bus

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// Listen lets programs outside of this process into the embedded server. Without an address, which is the default, nobody
// gets in but this process.
//
// Nobody from outside is ever let into the account that holds the bucket and the events. Each of them is put into an account
// of their own ([Bus.Account]), which is empty until somebody fills it: in NATS, a subject of one account does not exist in
// another. Permissions alone would not do. Whoever may read a stream may have the server publish what they read, on a reply
// subject or as a push consumer delivers, and the server does not ask whether they may publish there.
type Listen struct {
	// Address is host:port. Port 0 takes any that is free, see [Bus.ListenAddress]. Without a host it is all IPv4 addresses,
	// with [::] those of IPv6 too.
	Address string
	// TLS holds the server's certificate. It may be left out where Address is a loopback address.
	TLS *tls.Config
	// MaxConnections counts those of all clients and of this process. Default 2048.
	MaxConnections int
	// Accounts is how many accounts there may be, AccountMemory how many bytes the streams of each may take. Default 256 of
	// 256 MiB. They come on top of StoreLimit, and take memory only as they are filled.
	Accounts      int
	AccountMemory int64
}

func (l Listen) withDefaults() Listen {
	setDefault(&l.MaxConnections, 2048)
	setDefault(&l.Accounts, 256)
	setDefault(&l.AccountMemory, 256<<20)
	return l
}

// check refuses a listener that would take tokens in the clear from the network.
func (l Listen) check() error {
	host, _, err := l.split()
	switch {
	case err != nil:
		return fmt.Errorf("%w: listen address %q: want host:port: %w", errConfig, l.Address, err)
	case l.Accounts < 1 || l.MaxConnections < 1 || l.AccountMemory < 1:
		return fmt.Errorf("%w: the limits of the listener are to be positive", errConfig)
	case l.TLS == nil && !isLoopback(host):
		return fmt.Errorf("%w: listen address %s: without TLS only a loopback address is allowed, for clients send their tokens", errConfig, l.Address)
	case l.TLS != nil && len(l.TLS.Certificates) == 0 && l.TLS.GetCertificate == nil && l.TLS.GetConfigForClient == nil:
		return fmt.Errorf("%w: listen address %s: its TLS configuration has no certificate", errConfig, l.Address)
	}
	return nil
}

// probe tells whether the address can be listened at. The server would only log that it cannot, and then not become ready for
// a reason of its own.
func (l Listen) probe(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", l.Address)
	if err != nil {
		return fmt.Errorf("%w: %w", errEmbedded, err)
	}
	return listener.Close()
}

func (l Listen) split() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(l.Address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err == nil && (port < 0 || port > 65535) {
		err = errors.New("there is no such port")
	}
	return host, port, err
}

// isLoopback holds for addresses and for the one name that is always local. An empty host is every address.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

const (
	// admitTimeout bounds one decision: the API server reviews the client's token, its rights are asked about, and its account
	// is filled.
	admitTimeout = 9 * time.Second
	// maxAdmissions is how many are decided on at once. More are refused, and try again by themselves.
	maxAdmissions = 64
)

// options adds the listener to the server's options.
func (l Listen) options(o *server.Options) {
	o.DontListen = false
	o.Host, o.Port, _ = l.split() // checked
	o.Cluster.NoAdvertise = true  // clients stay with the name that they connected to: the certificate is for that one
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if l.TLS != nil {
		o.TLS, o.TLSConfig = true, l.TLS.Clone()
		o.TLSConfig.NextProtos = nil              // it is not HTTP
		o.TLSConfig.ClientAuth = tls.NoClientCert // clients are known by their tokens
		o.TLSConfig.MinVersion = max(tls.VersionTLS12, l.TLS.MinVersion)
		o.TLSTimeout = 5
	}
	o.AuthTimeout = (admitTimeout + time.Second).Seconds()
	o.MaxConn = l.MaxConnections
	o.MaxSubs = 256                    // of one connection
	o.MaxControlLine = 4096 + 20<<10   // CONNECT is one, and holds the token
	o.WriteDeadline = 10 * time.Second // a client that does not read is cut
	o.PingInterval = 30 * time.Second
	// Reserved for the accounts, whether they use it or not: without it the last ones would be refused.
	o.JetStreamMaxMemory += int64(l.Accounts) * l.AccountMemory
}

// ListenAddress is where clients are expected, nil where they are not.
func (b *Bus) ListenAddress() net.Addr {
	if b.server == nil || b.server.gate == nil {
		return nil
	}
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.server.server.Addr()
}

// Admit has somebody decide who may come in by the listener; until it is called, and after a call with nil, nobody may.
// Clients may publish and subscribe to these subjects, wildcards included, and to no other, in the account that admit names,
// one that [Bus.Account] has made. user is what the client is called in the server's log.
//
// admit is called from many goroutines. client names a connection as long as the process lives; the one that is being decided
// on exists already.
func (b *Bus) Admit(publish, subscribe []string, admit func(ctx context.Context, client uint64, token string, remote net.Addr) (account, user string, err error)) {
	if b.server == nil || b.server.gate == nil {
		return
	}
	if admit == nil {
		b.server.gate.rules.Store(nil)
		return
	}
	b.server.gate.rules.Store(&rules{admit: admit, permissions: server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: subscribe},
	}})
}

// Connected tells whether a client is still there.
func (b *Bus) Connected(client uint64) bool {
	s, id := b.client(client)
	return s != nil && s.GetClient(id) != nil
}

// Disconnect closes the connection of a client, if it is still there.
func (b *Bus) Disconnect(client uint64) {
	if s, id := b.client(client); s != nil {
		_ = s.DisconnectClientByID(id) // the only error is that there is none
	}
}

// A server counts its clients from 1, so their numbers have that of the server above them.
const clientBits = 48

// client is the server that a client is connected to, nil where that is gone.
func (b *Bus) client(client uint64) (s *server.Server, id uint64) {
	if b.server == nil {
		return nil, 0
	}
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	if client>>clientBits != b.server.starts {
		return nil, 0
	}
	return b.server.server, client & (1<<clientBits - 1)
}

type rules struct {
	permissions server.Permissions
	admit       func(ctx context.Context, client uint64, token string, remote net.Addr) (account, user string, err error)
}

// gate decides on every connection to a server that listens, those from this process included.
type gate struct {
	// secret is what connections from this process show. It exists nowhere else.
	secret string
	memory int64 // of an account
	log    *zap.Logger
	rules  atomic.Pointer[rules]
	slots  chan struct{}

	ctx    context.Context //nolint:containedctx // the server calls without one; it ends with the server
	cancel context.CancelFunc

	mu       sync.Mutex
	accounts map[string]struct{} // those that may be connected to from this process
}

func newGate(l Listen, log *zap.Logger) *gate {
	g := &gate{
		secret: rand.Text() + rand.Text(), memory: l.AccountMemory, log: log,
		slots: make(chan struct{}, maxAdmissions), accounts: map[string]struct{}{},
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// doorkeeper is the gate before one server.
type doorkeeper struct {
	*gate
	server atomic.Pointer[server.Server]
	start  uint64
}

// Check implements server.Authentication. The server calls it from the goroutine that reads from the client, which can do
// nothing before it returns.
func (d *doorkeeper) Check(c server.ClientAuthentication) bool {
	if d.check(c) {
		return true
	}
	// The server logs whom it refuses by the name that they gave, and some give their token as their name.
	c.RegisterUser(&server.User{Username: "refused", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{">"}}, Subscribe: &server.SubjectPermission{Deny: []string{">"}},
	}})
	return false
}

func (d *doorkeeper) check(c server.ClientAuthentication) bool {
	remote, options := c.RemoteAddress(), c.GetOpts()
	if remote == nil {
		return false // gone
	}
	if remote.Network() == "pipe" {
		return d.own(c, options)
	}
	rules := d.rules.Load()
	if rules == nil {
		d.log.Warn("client refused", zap.String("reason", "clients are not admitted yet"), zap.Stringer("remote", remote))
		return false
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		d.log.Warn("client refused", zap.String("reason", "too many others are being decided on"), zap.Stringer("remote", remote))
		return false
	}
	token := options.Token
	if token == "" {
		token = options.Password
	}
	ctx, cancel := context.WithTimeout(d.ctx, admitTimeout)
	defer cancel()
	name, user, err := rules.admit(ctx, d.start<<clientBits|c.GetID(), token, remote)
	if err != nil {
		return false // whoever decided has said why
	}
	account, err := d.account(d.server.Load(), name)
	if err != nil {
		d.log.Error("client refused", zap.Stringer("remote", remote), zap.Error(err))
		return false
	}
	permissions := rules.permissions
	c.RegisterUser(&server.User{Username: user, Account: account, Permissions: &permissions})
	return true
}

// own lets a connection of this process into the account that it gives as its user, or into the one of the bucket.
func (d *doorkeeper) own(c server.ClientAuthentication, options *server.ClientOpts) bool {
	if subtle.ConstantTimeCompare([]byte(options.Password), []byte(d.secret)) != 1 {
		d.log.Error("a connection inside the process without its secret was refused")
		return false
	}
	user := &server.User{Username: options.Username}
	if options.Username != ownUser {
		account, err := d.account(d.server.Load(), options.Username)
		if err != nil {
			d.log.Error("connection to an account", zap.Error(err))
			return false
		}
		user.Account = account
	}
	c.RegisterUser(user)
	return true
}

// listenerLog leaves out that a client was refused: whoever decided that has said so, and why.
type listenerLog struct{ serverLog }

func (l listenerLog) Errorf(format string, v ...any) {
	if text := fmt.Sprintf(format, v...); !strings.Contains(text, server.ErrAuthentication.Error()) {
		l.log.Error(text)
	}
}
