package serving

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	servingLife   = 90 * 24 * time.Hour
	// backdate is for clients whose clock is behind.
	backdate = 5 * time.Minute
)

// pemPair is a certificate with its private key, as both are kept.
type pemPair struct{ cert, key []byte }

// authority signs serving certificates.
type authority struct {
	pemPair

	certificate *x509.Certificate
	key         crypto.Signer
}

// subject is whom a serving certificate is for.
type subject struct {
	name  string // for people who look at it
	hosts []string
	ips   []net.IP
}

// subjectOf names a service and its message bus as they are called from inside the cluster, and this machine.
func subjectOf(namespace, service string) subject {
	s := subject{
		name: service + "." + namespace + ".svc",
		ips:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, name := range []string{service, service + "-nats"} {
		s.hosts = append(s.hosts, name, name+"."+namespace, name+"."+namespace+".svc", name+"."+namespace+".svc.cluster.local")
	}
	s.hosts = append(s.hosts, "localhost")
	return s
}

// newAuthority makes a certificate authority that signs nothing but certificates of servers.
func newAuthority(name string, now time.Time, life time.Duration) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	pair, err := sign(template, nil)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return parseAuthority(pair, now, 0)
}

// parseAuthority checks that pair is an authority that is good for longer than the given time.
func parseAuthority(pair pemPair, now time.Time, longer time.Duration) (*authority, error) {
	parsed, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.PrivateKey.(crypto.Signer)
	switch ca := parsed.Leaf; {
	case !ok:
		return nil, errors.New("the private key cannot sign")
	case !ca.IsCA || ca.CheckSignatureFrom(ca) != nil:
		return nil, errors.New("it is no certificate authority")
	case now.Before(ca.NotBefore):
		return nil, fmt.Errorf("it is not valid before %s", ca.NotBefore.Format(time.RFC3339))
	case !now.Add(longer).Before(ca.NotAfter):
		return nil, fmt.Errorf("it is not valid after %s", ca.NotAfter.Format(time.RFC3339))
	default:
		return &authority{pemPair: pair, certificate: ca, key: key}, nil
	}
}

// issue makes a serving certificate.
func (a *authority) issue(s subject, now time.Time, life time.Duration) (pemPair, error) {
	pair, err := sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: s.name},
		DNSNames:    s.hosts,
		IPAddresses: s.ips,
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(life),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a)
	if err != nil {
		return pair, fmt.Errorf("serving certificate: %w", err)
	}
	return pair, nil
}

// check says what is wrong with a serving certificate that should be of this authority, for this subject, and good for
// longer than the given time.
func (a *authority) check(pair pemPair, s subject, now time.Time, longer time.Duration) (tls.Certificate, error) {
	parsed, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return parsed, err
	}
	leaf, roots := parsed.Leaf, x509.NewCertPool()
	roots.AddCert(a.certificate)
	// Also for the wrong purpose, the wrong time and another authority.
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		return parsed, err
	}
	names := s.hosts
	for _, ip := range s.ips {
		names = append(slices.Clip(names), ip.String())
	}
	for _, name := range names {
		if err := leaf.VerifyHostname(name); err != nil {
			return parsed, err
		}
	}
	if !now.Add(longer).Before(leaf.NotAfter) {
		return parsed, fmt.Errorf("%w: it ends at %s", errDue, leaf.NotAfter.Format(time.RFC3339))
	}
	return parsed, nil
}

// sign makes a key and a certificate for it, signed by the authority, or by itself if that is nil.
func sign(template *x509.Certificate, by *authority) (pemPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pemPair{}, err
	}
	// RFC 5280 asks for a positive number of at most 20 octets, browsers for one with 64 random bits.
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return pemPair{}, err
	}
	parent, signer := template, crypto.Signer(key)
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pemPair{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pemPair{}, err
	}
	return pemPair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}
