package devcluster

import (
	"context"
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
	"io/fs"
	"math/big"
	"os"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// pair is a certificate and its private key, both PEM.
type pair struct{ cert, key []byte }

func (p pair) tls(t testing.TB) tls.Certificate {
	t.Helper()
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatalf("certificate: %v", err)
	}
	return cert
}

// ClientCertificate makes a user with a certificate of the cluster's authority,
// by a CertificateSigningRequest with the signer kubernetes.io/kube-apiserver-client
// that the administrator approves. That API refuses the group system:masters. In
// a cluster without [ControllerManager], which signs, the authority's key in the
// cluster's folder does instead.
func (c *Cluster) ClientCertificate(t testing.TB, user string, groups ...string) *Identity {
	t.Helper()
	subject := pkix.Name{CommonName: user, Organization: groups}
	i := &Identity{Name: user, Groups: groups, cluster: c}
	// A controller manager that was started has a log. Its absence says that there
	// is none, if this is the cluster's folder.
	_, signer := os.Stat(c.file(ControllerManager + ".log"))
	ca, err := c.authority("ca")
	if err == nil && errors.Is(signer, fs.ErrNotExist) {
		if i.certificate, err = ca.issue(subject); err != nil {
			t.Fatalf("client certificate of %s: %v", user, err)
		}
		return i
	}
	i.certificate = c.request(t, subject)
	return i
}

// request has a certificate signed by the API.
func (c *Cluster) request(t testing.TB, subject pkix.Name) pair {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("client certificate of %s: %v", subject.CommonName, err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	fail(err)
	requests := c.admin(t).CertificatesV1().CertificateSigningRequests()
	seconds := int32(tokenLifetime.Seconds())
	csr, err := requests.Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:           pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName:        certificatesv1.KubeAPIServerClientSignerName,
			ExpirationSeconds: &seconds,
			Usages:            []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	fail(err)
	name := csr.Name
	c.cleanup(t, "certificate signing request "+name, func(ctx context.Context) error {
		return requests.Delete(ctx, name, metav1.DeleteOptions{})
	})
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test",
	})
	_, err = requests.UpdateApproval(t.Context(), name, csr, metav1.UpdateOptions{})
	fail(err)
	err = wait.PollUntilContextTimeout(t.Context(), identityPoll, identityTimeout, true, func(ctx context.Context) (bool, error) {
		var err error
		if csr, err = requests.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return false, err
		}
		for _, condition := range csr.Status.Conditions {
			if condition.Type == certificatesv1.CertificateFailed || condition.Type == certificatesv1.CertificateDenied {
				return false, fmt.Errorf("%s: %s", condition.Type, condition.Message)
			}
		}
		return len(csr.Status.Certificate) > 0, nil
	})
	fail(err)
	private, err := encodeKey(key)
	fail(err)
	return pair{cert: csr.Status.Certificate, key: private}
}

// FrontProxy is the certificate with which the API server calls aggregated APIs.
// Whoever shows it may name any user in the X-Remote headers. The key is read from
// the cluster's folder.
func (c *Cluster) FrontProxy(t testing.TB) tls.Certificate {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(c.file("pki", "front-proxy-client.crt"), c.file("pki", "front-proxy-client.key"))
	if err != nil {
		t.Fatalf("front proxy's certificate: %v", noFolder(err))
	}
	return cert
}

// FrontProxyNamed is a certificate of the front proxy's authority with another
// name than "front-proxy-client", the only one of
// --requestheader-allowed-names: a server that looks only at the authority lets it
// through.
func (c *Cluster) FrontProxyNamed(t testing.TB, commonName string) tls.Certificate {
	t.Helper()
	ca, err := c.authority("front-proxy-ca")
	if err != nil {
		t.Fatalf("front proxy's authority: %v", err)
	}
	made, err := ca.issue(pkix.Name{CommonName: commonName})
	if err != nil {
		t.Fatalf("front proxy's certificate: %v", err)
	}
	return made.tls(t)
}

// ForgedFrontProxy is a certificate of an authority that calls itself like the
// front proxy's and has another key. With the name "front-proxy-client", only the
// signature tells it from the real one.
func ForgedFrontProxy(t testing.TB, commonName string) tls.Certificate {
	t.Helper()
	ca, err := newAuthority("kubefoundry-devcluster-front-proxy-ca")
	if err != nil {
		t.Fatalf("forged front proxy: %v", err)
	}
	made, err := ca.issue(pkix.Name{CommonName: commonName})
	if err != nil {
		t.Fatalf("forged front proxy: %v", err)
	}
	return made.tls(t)
}

// authority signs client certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority reads one of the cluster's from its folder, "ca" or "front-proxy-ca".
func (c *Cluster) authority(name string) (*authority, error) {
	loaded, err := tls.LoadX509KeyPair(c.file("pki", name+".crt"), c.file("pki", name+".key"))
	if err != nil {
		return nil, noFolder(err)
	}
	key, ok := loaded.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("authority %s: key of type %T", name, loaded.PrivateKey)
	}
	return &authority{cert: loaded.Leaf, key: key}, nil
}

func noFolder(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errNoFolder, err)
	}
	return err
}

func newAuthority(commonName string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: commonName})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert: cert, key: key}, err
}

// issue signs a client certificate.
func (a *authority) issue(subject pkix.Name) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template, err := newTemplate(subject)
	if err != nil {
		return pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	private, err := encodeKey(key)
	return pair{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: private}, err
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(tokenLifetime),
	}, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
