package serving

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

const (
	// checkEvery is how often Secret and APIService are looked at. The server may get the two by name and neither list nor
	// watch them, so that a right to read all Secrets is not needed; two reads a minute cost nothing, and what goes wrong
	// there, a Secret damaged by hand or an APIService that was applied again without its bundle, is rare.
	checkEvery = time.Minute
	// callTimeout bounds one look, of at most a few requests, at an API server that accepts and does not answer.
	callTimeout = 20 * time.Second
)

// Options say where a self-made certificate is kept and whom it is for.
type Options struct {
	// Client needs create on secrets in the namespace, and get and update on the Secret <service>-serving-certificate.
	Client kubernetes.Interface
	// Aggregation needs get and patch on the APIService v1alpha1.live.kubefoundry.io. Without it, no APIService is told.
	Aggregation dynamic.Interface
	// Namespace and Service of the server.
	Namespace, Service string
	// Log may be nil.
	Log *zap.Logger

	// Zero for what the constants say.
	authorityLife, servingLife, checkEvery time.Duration
}

var errOptions = errors.New("self-made serving certificate: Client, Namespace and Service are needed")

// selfMade keeps a certificate that is shared with other replicas.
type selfMade struct {
	vault  *vault
	bundle *bundle
	every  time.Duration
	log    *zap.Logger
	failed string // the last failure that was logged
}

// SelfMade takes the serving certificate from the Secret <service>-serving-certificate, or makes it. It waits for an API
// server that does not answer, or does not allow it yet, until ctx is done. Run renews the certificate when a third of its
// 90 days are left, and writes the authority to the APIService v1alpha1.live.kubefoundry.io, if there is one for this
// service.
func SelfMade(ctx context.Context, o Options) (*Certificate, error) {
	if o.Client == nil || o.Namespace == "" || o.Service == "" {
		return nil, errOptions
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := &selfMade{
		vault: newVault(o),
		every: cmp.Or(o.checkEvery, checkEvery),
		log:   o.Log,
	}
	if o.Aggregation != nil {
		s.bundle = newBundle(o)
	}
	c := &Certificate{}
	retry := wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 10, Cap: 15 * time.Second}
	for {
		err := s.settle(ctx, c)
		if err == nil {
			break
		}
		pause := retry.Step()
		o.Log.Warn("no serving certificate yet; trying again", zap.Error(err), zap.Duration("in", pause.Round(time.Millisecond)))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (given up: %w)", err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
	c.run = func(ctx context.Context) error {
		s.follow(ctx, c)
		return nil
	}
	return c, nil
}

// settle takes the certificate that all replicas agree on.
func (s *selfMade) settle(ctx context.Context, c *Certificate) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := s.vault.settle(ctx)
	if err != nil {
		return err
	}
	old := c.current.Load()
	if !c.store(found) {
		return nil
	}
	s.log.Info("serving certificate taken", zap.String("secret", s.vault.String()),
		zap.Time("expires", found.certificate.Leaf.NotAfter),
		zap.Bool("other authority", old != nil && !bytes.Equal(old.ca, found.ca)))
	return nil
}

func (s *selfMade) follow(ctx context.Context, c *Certificate) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		if s.bundle != nil {
			s.bundle.publish(ctx, c.current.Load().ca)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := s.settle(ctx, c); {
		case err == nil:
			s.failed = ""
		case ctx.Err() == nil && err.Error() != s.failed: // once, not every minute
			s.failed = err.Error()
			s.log.Warn("serving certificate not checked; the last one stays in use", zap.Error(err),
				zap.Time("expires", c.current.Load().certificate.Leaf.NotAfter))
		}
	}
}
