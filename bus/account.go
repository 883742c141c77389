package bus

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ownUser is whom a connection of this process to the bucket's own account says it is.
const ownUser = "kubefoundry"

var errNotListening = errors.New("bus: accounts need an embedded server that listens")

// Account connects to an account of the embedded server, which it makes where there is none of this name: with JetStream, two
// streams in memory, and nothing in it. Nothing of one account can be seen or reached from another. The server cannot forget
// an account, so names are to be used again. After a restart of the server beneath it, the connection comes back to an empty
// account.
//
// It belongs to the caller, who closes it.
func (b *Bus) Account(name string) (*nats.Conn, jetstream.JetStream, error) {
	if b.server == nil || b.server.gate == nil {
		return nil, nil, errNotListening
	}
	if name == "" || name == ownUser || name[0] == '$' {
		return nil, nil, fmt.Errorf("bus: account %q is not for clients", name)
	}
	b.server.gate.mu.Lock()
	b.server.gate.accounts[name] = struct{}{}
	b.server.gate.mu.Unlock()
	l, err := b.connectAs("kubefoundry-account", name)
	return l.nc, l.js, err
}

// account is the one of this name in a server, which may be younger than the account.
func (g *gate) account(s *server.Server, name string) (*server.Account, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.accounts[name]; !known {
		return nil, fmt.Errorf("%w: account %q: nobody has made it", errEmbedded, name)
	}
	account, _ := s.LookupOrRegisterAccount(name)
	if account.JetStreamEnabled() {
		return account, nil
	}
	err := account.EnableJetStream(map[string]server.JetStreamAccountLimits{"": {
		MaxMemory:            g.memory,
		MaxStore:             0, // nothing on disk: it can always be filled again
		MaxStreams:           2,
		MaxConsumers:         64,
		MaxAckPending:        4096,
		MemoryMaxStreamBytes: -1,
		StoreMaxStreamBytes:  -1,
	}}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: account %q: %w", errEmbedded, name, err)
	}
	return account, nil
}
