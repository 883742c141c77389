package bus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

var errRefused = errors.New("refused")

// listening is a bus whose clients' tokens are the names of their accounts.
func listening(t *testing.T, l Listen) (b *Bus, clients chan uint64) {
	t.Helper()
	l.Address = "127.0.0.1:0"
	b = open(t, Config{Listen: l, tuning: tuning{reconnectWait: 10 * time.Millisecond}})
	clients = make(chan uint64, 10)
	b.Admit([]string{"$JS.API.>"}, []string{"_INBOX.>", "news.>"}, func(_ context.Context, client uint64, token string, _ net.Addr) (string, string, error) {
		if token == "" || token == "wrong" {
			return "", "", errRefused
		}
		clients <- client
		return token, "user of " + token, nil
	})
	return b, clients
}

func dial(t *testing.T, b *Bus, options ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	nc, err := nats.Connect("nats://"+b.ListenAddress().String(), append(options, nats.Timeout(10*time.Second), nats.MaxReconnects(0))...)
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

// TestNobodyReachesTheBucket is the listener's law: whoever comes in sees an account of their own.
func TestNobodyReachesTheBucket(t *testing.T) {
	b, clients := listening(t, Listen{})
	p, m := b.Publisher(), newModel()
	start(t, p.Run, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)

	own, js, err := b.Account("one")
	require.NoError(t, err)
	defer own.Close()
	_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "kubefoundry", Storage: jetstream.MemoryStorage})
	require.NoError(t, err)

	nc, err := dial(t, b, nats.Token("one"))
	require.NoError(t, err)
	first := <-clients
	require.True(t, b.Connected(first))
	theirs, err := jetstream.New(nc)
	require.NoError(t, err)
	bucket, err := theirs.KeyValue(t.Context(), "kubefoundry")
	require.NoError(t, err)
	status, err := bucket.Status(t.Context())
	require.NoError(t, err)
	assert.Zero(t, status.Values(), "not the bucket of this name that the documents are in")

	_, err = dial(t, b, nats.Token("two"))
	require.ErrorIs(t, err, nats.ErrAuthorization, "an account that nobody has made")
	for what, options := range map[string][]nats.Option{
		"nothing": nil, "refused": {nats.Token("wrong")}, "own user without the secret": {nats.UserInfo(ownUser, "")},
	} {
		_, err = dial(t, b, options...)
		require.ErrorIs(t, err, nats.ErrAuthorization, what)
	}
	b.Admit(nil, nil, nil)
	_, err = dial(t, b, nats.Token("one"))
	require.ErrorIs(t, err, nats.ErrAuthorization, "nobody decides any more")

	b.Disconnect(first)
	require.Eventually(t, func() bool { return nc.IsClosed() && !b.Connected(first) }, 5*time.Second, time.Millisecond)
}

// TestTheSecretIsOfNoUseOutside: only a connection of this process may show it.
func TestTheSecretIsOfNoUseOutside(t *testing.T) {
	b, _ := listening(t, Listen{})
	var asked atomic.Bool
	b.Admit(nil, nil, func(context.Context, uint64, string, net.Addr) (string, string, error) {
		asked.Store(true)
		return "", "", errRefused
	})
	_, err := dial(t, b, nats.UserInfo(ownUser, b.server.gate.secret))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	assert.True(t, asked.Load(), "it is a token like any other")
	pipe, err := b.server.InProcessConn()
	require.NoError(t, err)
	_, err = nats.Connect("", nats.InProcessServer(piped{pipe}), nats.Timeout(5*time.Second))
	require.Error(t, err, "in the process, without the secret")
}

type piped struct{ net.Conn }

func (p piped) InProcessConn() (net.Conn, error) { return p.Conn, nil }

func TestAccountsComeBackEmptyAfterARestart(t *testing.T) {
	b, clients := listening(t, Listen{})
	p, m := b.Publisher(), newModel()
	start(t, p.Run, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
	own, js, err := b.Account("one")
	require.NoError(t, err)
	defer own.Close()
	_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "kubefoundry", Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	nc, err := nats.Connect("nats://"+b.ListenAddress().String(), nats.Token("one"), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.IgnoreAuthErrorAbort())
	require.NoError(t, err)
	defer nc.Close()
	old := <-clients

	address := b.ListenAddress().String()
	b.server.server.Shutdown()
	b.server.server.WaitForShutdown()
	require.NoError(t, b.server.start(context.Background(), zap.NewNop()))
	assert.Equal(t, address, b.ListenAddress().String())
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 10*time.Second)
	fresh := <-clients
	assert.NotEqual(t, old, fresh)
	assert.False(t, b.Connected(old), "a number of the server before")
	b.Disconnect(old)
	require.Eventually(t, func() bool {
		_, err := js.KeyValue(t.Context(), "kubefoundry")
		return errors.Is(err, jetstream.ErrBucketNotFound)
	}, 10*time.Second, 10*time.Millisecond)
	assert.True(t, b.Connected(fresh))
}

func TestListenWithTLS(t *testing.T) {
	certificate, pool := ownCertificate(t)
	b, _ := listening(t, Listen{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}}})
	own, _, err := b.Account("one")
	require.NoError(t, err)
	own.Close()
	nc, err := dial(t, b, nats.Token("one"), nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	require.NoError(t, err)
	require.True(t, nc.TLSRequired())
	_, err = dial(t, b, nats.Token("one"))
	require.ErrorContains(t, err, "certificate", "an authority that the client does not know")
}

func TestListenWithoutTLSIsForLoopback(t *testing.T) {
	busy, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	for address, message := range map[string]string{
		":4222": "only a loopback", "0.0.0.0:4222": "only a loopback", "[::]:0": "only a loopback", "nats.example:4222": "only a loopback",
		"4222": "want host:port", "127.0.0.1:http2": "want host:port", "127.0.0.1:65536": "no such port", busy.Addr().String(): "in use",
	} {
		_, err := Open(context.Background(), Config{Listen: Listen{Address: address}}, zap.NewNop(), nil)
		require.ErrorContains(t, err, message, address)
	}
	_, err = Open(context.Background(), Config{Listen: Listen{Address: ":0", TLS: &tls.Config{MinVersion: tls.VersionTLS12}}}, zap.NewNop(), nil)
	require.ErrorContains(t, err, "no certificate")
	_, err = Open(context.Background(), Config{URL: "nats://nats:4222", Listen: Listen{Address: "127.0.0.1:0"}}, zap.NewNop(), nil)
	require.ErrorContains(t, err, "only the embedded server listens")
}

func TestWhoDoesNotListenHasNoAccounts(t *testing.T) {
	b := open(t, Config{})
	assert.Nil(t, b.ListenAddress())
	_, _, err := b.Account("one")
	require.ErrorIs(t, err, errNotListening)
}

func ownCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubefoundry"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
