package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// embedded is a NATS server in this process that listens on no port, unless it is told to. It hands out connections itself,
// so that they survive a restart of the server beneath them.
type embedded struct {
	options server.Options
	private string // directory to remove at the end, if any
	gate    *gate  // nil where it does not listen

	mu     sync.Mutex
	server *server.Server
	starts uint64
}

var errEmbedded = errors.New("embedded NATS server")

// startEmbedded starts the server. Its store directory is set even in memory: the default would be shared by all NATS
// servers of the machine.
func startEmbedded(ctx context.Context, config Config, log *zap.Logger) (*embedded, error) {
	e := &embedded{}
	if config.Listen.Address != "" {
		if err := config.Listen.probe(ctx); err != nil {
			return nil, err
		}
	}
	dir := config.StoreDir
	if dir == "" {
		private, err := os.MkdirTemp("", "kubefoundry-bus-")
		if err != nil {
			return nil, fmt.Errorf("%w: needs a writable directory, even in memory; set TMPDIR: %w", errEmbedded, err)
		}
		dir, e.private = private, private
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: store directory: %w", errEmbedded, err)
	}
	e.options = server.Options{
		ServerName:             "kubefoundry",
		DontListen:             true,
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxMemory:     config.StoreLimit,
		JetStreamMaxStore:      config.StoreLimit,
		MaxPayload:             4 << 20, // a deployment with hundreds of pods stays far below
		NoSigs:                 true,
		DisableJetStreamBanner: true,
	}
	if config.Listen.Address != "" {
		e.gate = newGate(config.Listen, log)
		config.Listen.options(&e.options)
	}
	if err := e.start(ctx, log); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

func (e *embedded) start(ctx context.Context, log *zap.Logger) error {
	options := e.options // the server writes into its options
	var door *doorkeeper
	if e.gate != nil {
		door = &doorkeeper{gate: e.gate, start: e.starts + 1}
		options.CustomClientAuthentication = door
	}
	s, err := server.NewServer(&options)
	if err != nil {
		return fmt.Errorf("%w: %w", errEmbedded, err)
	}
	if door != nil {
		door.server.Store(s)
		e.take(s) // before the first client is asked after
		s.SetLoggerV2(listenerLog{serverLog{log.Sugar()}}, false, false, false)
		s.Start()
	} else {
		s.SetLoggerV2(serverLog{log.Sugar()}, false, false, false)
		s.Start()
		e.take(s)
	}
	patience := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline)
	}
	// The only sign of an unusable store directory: NewServer succeeds and JetStreamEnabled says yes.
	if !s.ReadyForConnections(patience) {
		return fmt.Errorf("%w: not ready after %v: is %s writable?", errEmbedded, patience, options.StoreDir)
	}
	if e.gate != nil { // a restart is found where it was
		e.options.Port = options.Port
	}
	return nil
}

// take makes s the server that connections are handed out of.
func (e *embedded) take(s *server.Server) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server = s
	e.starts++
}

// InProcessConn implements nats.InProcessConnProvider.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	conn, err := s.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEmbedded, err)
	}
	return conn, nil
}

// stop ends the server. LameDuckShutdown does nothing on a server that does not listen.
func (e *embedded) stop() {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if e.gate != nil {
		e.gate.cancel() // the server waits for the decisions that are under way
	}
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
	if e.private != "" {
		_ = os.RemoveAll(e.private)
	}
}
