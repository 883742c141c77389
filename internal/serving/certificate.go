package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"slices"
	"sync/atomic"
)

// Certificate is a serving certificate that changes while it is in use.
type Certificate struct {
	current atomic.Pointer[served]
	run     func(ctx context.Context) error
}

// served is what the server shows at one time. It is not changed once it is stored.
type served struct {
	certificate tls.Certificate
	ca          []byte // PEM; nil if unknown
	pem         []byte // of the certificate and its key, to see a change
}

// store replaces what is served and reports whether it is another.
func (c *Certificate) store(s *served) bool {
	old := c.current.Swap(s)
	return old == nil || !bytes.Equal(old.pem, s.pem)
}

// CA is the authority that signed the certificate, as PEM, for clients that have no other way to know it. It is nil for a
// certificate from files: whoever made them knows.
func (c *Certificate) CA() []byte { return slices.Clone(c.current.Load().ca) }

// TLSConfig is a new configuration for servers that always shows the certificate of the moment. Clients are asked for a
// certificate, and whatever they show is accepted here: a handler that relies on it has to verify
// http.Request.TLS.PeerCertificates.
func (c *Certificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().certificate, nil
		},
	}
}

// Run keeps the certificate good until ctx is done, and then returns nil. What fails is logged and tried again, and the
// last good certificate is served meanwhile.
func (c *Certificate) Run(ctx context.Context) error { return c.run(ctx) }
