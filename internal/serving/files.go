package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"k8s.io/klog/v2"
)

// filesEvery is how often files are read again. Reading two small files costs less than a watch that has to follow the
// symlinks by which a mounted Secret is swapped, and a certificate is renewed weeks before it has to be.
const filesEvery = 10 * time.Second

// FromFiles serves the certificate, with what a client needs to get from it to an authority it knows, and the private key
// that stand in two PEM files. Run reads them again when they change; a change that is no certificate with its key, one
// file being written before the other for instance, is not taken.
func FromFiles(certFile, keyFile string) (*Certificate, error) {
	return fromFiles(certFile, keyFile, filesEvery)
}

func fromFiles(certFile, keyFile string, every time.Duration) (*Certificate, error) {
	first, err := readFiles(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c := &Certificate{}
	c.store(first)
	c.run = func(ctx context.Context) error {
		c.followFiles(ctx, certFile, keyFile, every)
		return nil
	}
	return c, nil
}

func (c *Certificate) followFiles(ctx context.Context, certFile, keyFile string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	log, failed := klog.FromContext(ctx), ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		next, err := readFiles(certFile, keyFile)
		switch {
		case err == nil:
			failed = ""
			if c.store(next) {
				log.Info("serving certificate reloaded", "file", certFile, "expires", next.certificate.Leaf.NotAfter)
			}
		case err.Error() != failed: // once, not every few seconds
			failed = err.Error()
			log.Error(err, "serving certificate not reloaded; the last one stays in use")
		}
	}
}

func readFiles(certFile, keyFile string) (*served, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("private key of the serving certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("serving certificate %s with private key %s: %w; both have to be PEM files that belong together",
			certFile, keyFile, err)
	}
	return &served{certificate: pair, pem: bytes.Join([][]byte{cert, key}, nil)}, nil
}
