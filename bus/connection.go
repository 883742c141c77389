package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// connect opens a connection that never gives up.
func (b *Bus) connect(name string) (link, error) { return b.connectAs(name, ownUser) }

// connectAs opens one to an account of the embedded server, if that has several.
func (b *Bus) connectAs(name, account string) (link, error) {
	log := b.log.Named("nats").With(zap.String("connection", name))
	c := b.config
	options := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(c.tuning.reconnectWait),
		nats.ReconnectJitter(c.tuning.reconnectWait/2, c.tuning.reconnectWait),
		// A server that is not up yet is like one that went away: both are waited for.
		nats.RetryOnFailedConnect(true),
		// The library closes a connection for good after the second refusal; credentials may be renewed in place.
		nats.IgnoreAuthErrorAbort(),
		// What is published while disconnected fails at once. Buffered, it would reach a bucket that may by then be a new
		// one, behind the back of the publisher's checks.
		nats.ReconnectBufSize(-1),
		// A dead peer is noticed after 20 to 30 s; the library's default is 4 to 6 minutes.
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil on Close
				log.Warn("disconnected from NATS", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.metrics.reconnects.WithLabelValues(name).Inc()
			log.Info("reconnected to NATS", zap.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS connection", zap.Error(err))
		}),
	}
	if c.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(c.CredentialsFile))
	}
	if c.CAFile != "" {
		options = append(options, nats.RootCAs(c.CAFile))
	}
	if c.CertificateFile != "" {
		options = append(options, nats.ClientCert(c.CertificateFile, c.KeyFile))
	}
	if b.server != nil {
		options = append(options, nats.InProcessServer(b.server))
		if b.server.gate != nil {
			options = append(options, nats.UserInfo(account, b.server.gate.secret))
		}
	}
	nc, err := nats.Connect(c.URL, options...)
	if err != nil {
		return link{}, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc,
		jetstream.WithDefaultTimeout(c.tuning.request),
		// Without it a future whose answer is lost while the connection stays up never ends.
		jetstream.WithPublishAsyncTimeout(c.tuning.ack),
		jetstream.WithPublishAsyncMaxPending(4*c.tuning.inFlight),
	)
	if err != nil {
		nc.Close()
		return link{}, fmt.Errorf("JetStream context: %w", err)
	}
	return link{nc: nc, js: js}, nil
}

var errDisconnected = errors.New("disconnected")

// connected waits until nc is connected and calls do with a context that ends when that connection does, for a request
// that was lost with its connection would otherwise be waited for until it times out.
func connected(ctx context.Context, nc *nats.Conn, do func(context.Context) error) error {
	gained := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(gained)
	lost := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer nc.RemoveStatusListener(lost)
	for !nc.IsConnected() {
		if nc.IsClosed() {
			return errClosed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gained:
		case <-lost: // from before: what matters is what comes once it is connected
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-ctx.Done():
		case <-lost:
			cancel(errDisconnected)
		}
	})
	defer watcher.Wait()
	defer cancel(nil)
	err := do(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errDisconnected) {
		return cause
	}
	return err
}

// isRefusal tells whether the server will refuse this very message however often it is sent.
func isRefusal(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum)
}

// isWrongSequence tells whether a message was refused because the stream is not where the sender believed.
func isWrongSequence(err error) bool {
	var apiError *jetstream.APIError
	if !errors.As(err, &apiError) {
		return false
	}
	// A replicated stream has a code of its own for it.
	return apiError.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		apiError.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}
