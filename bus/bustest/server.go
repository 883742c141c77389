// Package bustest provides a NATS server on a loopback port for tests of what stands on the bus: one that can be
// restarted under its clients and can cut their connections.
//
//	server := bustest.Start(t)
//	b, err := bus.Open(ctx, bus.Config{URL: server.URL()}, log, nil)
//	server.Restart() // the bucket is gone: it was in memory
//
// With any value in Config.StoreDir the bucket is in a file of the server and outlives its restarts.
package bustest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names of the connections that a bus opens.
const (
	Publisher = "kubefoundry-publisher"
	Follower  = "kubefoundry-follower"
)

// Server is a NATS server with JetStream. Its methods may be called from any goroutine.
type Server struct {
	t      testing.TB
	dir    string
	port   int
	change []func(*server.Options)

	mu     sync.Mutex
	server *server.Server // nil while stopped

	// cutMu is never held while the server is called: the server asks for it from within.
	cutMu sync.Mutex
	cut   map[string]bool
}

// Start starts a server and stops it at the end of the test. Each of change may alter its options, at each start.
func Start(t testing.TB, change ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: server.RANDOM_PORT, change: change, cut: map[string]bool{}}
	s.Resume()
	t.Cleanup(s.Stop)
	return s
}

// URL is what clients connect to. It stays the same.
func (s *Server) URL() string { return "nats://127.0.0.1:" + strconv.Itoa(s.port) }

// Resume starts the server after Stop, on the same port and store.
func (s *Server) Resume() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return
	}
	options := &server.Options{
		ServerName: "bustest", Host: "127.0.0.1", Port: s.port,
		JetStream: true, StoreDir: s.dir, JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 1 << 30,
		NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
		CustomClientAuthentication: door{s},
	}
	for _, change := range s.change {
		change(options)
	}
	running, err := server.NewServer(options)
	if err != nil {
		s.t.Fatalf("NATS server: %v", err)
	}
	running.Start()
	if !running.ReadyForConnections(10 * time.Second) {
		running.Shutdown()
		s.t.Fatal("NATS server: not ready after 10 s")
	}
	s.server = running
	s.port = running.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
}

// Stop stops the server. Its clients keep trying to reconnect.
func (s *Server) Stop() {
	s.mu.Lock()
	running := s.server
	s.server = nil
	s.mu.Unlock()
	if running != nil {
		running.Shutdown()
		running.WaitForShutdown()
	}
}

// Restart stops the server and starts it again.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Resume()
}

// Disconnect closes the connections of this name. They may come back at once.
func (s *Server) Disconnect(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	connections, err := s.server.Connz(&server.ConnzOptions{Limit: 1 << 16})
	if err != nil {
		s.t.Errorf("connections: %v", err)
		return
	}
	for _, c := range connections.Conns {
		if c.Name == name {
			_ = s.server.DisconnectClientByID(c.Cid) // it may have left meanwhile
		}
	}
}

// Cut closes the connections of this name and refuses them until Mend. It outlasts a restart.
func (s *Server) Cut(name string) {
	s.cutMu.Lock()
	s.cut[name] = true
	s.cutMu.Unlock()
	s.Disconnect(name)
}

// Mend lets connections of this name in again.
func (s *Server) Mend(name string) {
	s.cutMu.Lock()
	defer s.cutMu.Unlock()
	delete(s.cut, name)
}

// DeleteBucket deletes a KeyValue bucket behind the back of its users.
func (s *Server) DeleteBucket(ctx context.Context, name string) error {
	return s.admin(func(js jetstream.JetStream) error { return js.DeleteKeyValue(ctx, name) })
}

// RecreateBucket deletes a KeyValue bucket and creates an empty one with the same settings.
func (s *Server) RecreateBucket(ctx context.Context, name string) error {
	return s.admin(func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "KV_"+name)
		if err != nil {
			return err
		}
		if err := js.DeleteStream(ctx, "KV_"+name); err != nil {
			return err
		}
		_, err = js.CreateStream(ctx, stream.CachedInfo().Config)
		return err
	})
}

func (s *Server) admin(do func(jetstream.JetStream) error) error {
	nc, err := nats.Connect(s.URL(), nats.Name("bustest"))
	if err != nil {
		return fmt.Errorf("bustest: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("bustest: %w", err)
	}
	return do(js)
}

// door lets in who is not cut off.
type door struct{ s *Server }

func (d door) Check(c server.ClientAuthentication) bool {
	name := c.GetOpts().Name
	d.s.cutMu.Lock()
	defer d.s.cutMu.Unlock()
	return !d.s.cut[name]
}
