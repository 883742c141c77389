package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus/bustest"
)

func TestConfigRefusesWhatCannotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no.pem")
	require.NoError(t, os.WriteFile(file, []byte("neither"), 0o600))
	for want, config := range map[string]Config{
		"bucket":              {Bucket: "a.b"},
		"tombstone TTL":       {TombstoneTTL: time.Millisecond},
		"9 replicas":          {URL: "nats://n", Replicas: 9},
		"embedded server is":  {Replicas: 3},
		"without a URL":       {CAFile: file},
		"both":                {URL: "nats://n", CertificateFile: file},
		"credentials file":    {URL: "nats://n", CredentialsFile: file},
		"no certificate":      {URL: "nats://n", CAFile: file},
		"client certificate":  {URL: "nats://n", CertificateFile: file, KeyFile: file},
		"no such file":        {URL: "nats://n", CAFile: file + "x"},
		"connect to NATS: ":   {URL: "nats://%"},
		"bus metrics: ":       {},
		"tombstone TTL 500ms": {TombstoneTTL: 500 * time.Millisecond},
	} {
		t.Run(want, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			if want == "bus metrics: " {
				_, err := newMetrics(registry)
				require.NoError(t, err)
			}
			_, err := Open(context.Background(), config, zap.NewNop(), registry)
			require.ErrorContains(t, err, want)
		})
	}
}

func TestTLSWithClientCertificate(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pair, pool := selfSigned(t, certificate, key)
	server := bustest.Start(t, func(o *server.Options) {
		o.TLS = true
		o.TLSVerify = true
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		}
		o.TLSTimeout = 5
	})
	b := open(t, Config{URL: server.URL(), CAFile: certificate, CertificateFile: certificate, KeyFile: key})
	p, m := b.Publisher(), newModel()
	start(t, p.Run, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
	_, err := b.publishing.nc.TLSConnectionState()
	assert.NoError(t, err)
}

// selfSigned writes a certificate for both ends that is its own authority.
func selfSigned(t *testing.T, certificateFile, keyFile string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	require.NoError(t, os.WriteFile(certificateFile, certificate, 0o600))
	require.NoError(t, os.WriteFile(keyFile, private, 0o600))
	pair, err := tls.X509KeyPair(certificate, private)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certificate))
	return pair, pool
}
