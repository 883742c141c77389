package serving

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newPair makes a serving certificate of an authority of its own.
func newPair(t *testing.T) (pemPair, *authority) {
	t.Helper()
	ca, err := newAuthority("test", time.Now(), time.Hour)
	require.NoError(t, err)
	pair, err := ca.issue(subjectOf("models", "kubefoundry"), time.Now(), time.Minute)
	require.NoError(t, err)
	return pair, ca
}

// listen serves over TLS until the test ends and returns the address.
func listen(t *testing.T, c *Certificate) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", c.TLSConfig())
	require.NoError(t, err)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) > 0 {
				w.Header().Set("X-Peer", r.TLS.PeerCertificates[0].Subject.CommonName)
			}
		}),
		ReadHeaderTimeout: time.Minute,
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return listener.Addr().String()
}

// shown connects as a client that trusts ca and returns the certificate that the server shows.
func shown(t testing.TB, address, name string, ca []byte) (*x509.Certificate, error) {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// running runs the certificate until the test ends.
func running(t *testing.T, c *Certificate) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
}

func TestFilesAreReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(name string, data []byte) {
		t.Helper()
		require.NoError(t, os.WriteFile(name, data, 0o600))
	}
	first, firstCA := newPair(t)
	write(certFile, first.cert)
	write(keyFile, first.key)
	c, err := fromFiles(certFile, keyFile, 10*time.Millisecond)
	require.NoError(t, err)
	running(t, c)
	address := listen(t, c)
	assert.Nil(t, c.CA())
	_, err = shown(t, address, "kubefoundry.models.svc", firstCA.cert)
	require.NoError(t, err)

	second, secondCA := newPair(t)
	write(certFile, second.cert) // half of it: the first one stays
	time.Sleep(50 * time.Millisecond)
	_, err = shown(t, address, "kubefoundry.models.svc", firstCA.cert)
	require.NoError(t, err)
	write(keyFile, second.key)
	require.Eventually(t, func() bool {
		_, err := shown(t, address, "kubefoundry.models.svc", secondCA.cert)
		return err == nil
	}, 5*time.Second, 10*time.Millisecond)

	require.NoError(t, os.Remove(certFile))
	time.Sleep(50 * time.Millisecond)
	_, err = shown(t, address, "kubefoundry.models.svc", secondCA.cert)
	require.NoError(t, err, "the last one stays while there is none")
}

func TestFilesThatAreOfNoUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair, _ := newPair(t)
	other, _ := newPair(t)
	for name, data := range map[string][]byte{"cert": pair.cert, "key": pair.key, "other": other.key, "empty": nil} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	for _, tc := range []struct{ cert, key, want string }{
		{"none", "key", "serving certificate: open "},
		{"cert", "none", "private key of the serving certificate: open "},
		{"cert", "other", "private key does not match public key; both have to be PEM files that belong together"},
		{"empty", "key", "failed to find any PEM data"},
		{"cert", "cert", "found a certificate rather than a key"},
	} {
		_, err := FromFiles(filepath.Join(dir, tc.cert), filepath.Join(dir, tc.key))
		assert.ErrorContains(t, err, tc.want, "%s, %s", tc.cert, tc.key)
	}
	c, err := FromFiles(filepath.Join(dir, "cert"), filepath.Join(dir, "key"))
	require.NoError(t, err)
	running(t, c)
}

// A client's certificate is asked for, and taken whoever signed it: others judge it.
func TestClientsAreAskedForACertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair, ca := newPair(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert"), pair.cert, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), pair.key, 0o600))
	c, err := FromFiles(filepath.Join(dir, "cert"), filepath.Join(dir, "key"))
	require.NoError(t, err)
	address := listen(t, c)

	stranger, _ := newPair(t)
	client, err := tls.X509KeyPair(stranger.cert, stranger.key)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	for want, certificates := range map[string][]tls.Certificate{"": nil, "kubefoundry.models.svc": {client}} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, Certificates: certificates, ServerName: "kubefoundry", MinVersion: tls.VersionTLS12,
		}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address, nil)
		require.NoError(t, err)
		response, err := transport.RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, want, response.Header.Get("X-Peer"))
		transport.CloseIdleConnections()
	}

	old := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "kubefoundry", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}
	_, err = old.DialContext(t.Context(), "tcp", address)
	assert.ErrorContains(t, err, "protocol version")

	config := c.TLSConfig()
	assert.Equal(t, []string{"h2", "http/1.1"}, config.NextProtos)
}
