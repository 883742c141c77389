package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestNewCluster(t *testing.T) {
	t.Parallel()
	c, err := NewCluster(filepath.Join(t.TempDir(), "pki"), "10.255.255.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, host string
		usage      x509.ExtKeyUsage
	}{
		{APIServer, "kubernetes.default.svc", x509.ExtKeyUsageServerAuth},
		{APIServer, "127.0.0.1", x509.ExtKeyUsageServerAuth},
		{Kubelet, "10.255.255.1", x509.ExtKeyUsageServerAuth},
		{Admin, "", x509.ExtKeyUsageClientAuth},
		{KubeletClient, "", x509.ExtKeyUsageClientAuth},
	} {
		pair, err := tls.LoadX509KeyPair(c.CertFile(tc.name), c.KeyFile(tc.name))
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{
			Roots: c.Authority().Pool(), DNSName: tc.host, KeyUsages: []x509.ExtKeyUsage{tc.usage},
		}); err != nil {
			t.Errorf("%s for %q: %v", tc.name, tc.host, err)
		}
		info, err := os.Stat(c.KeyFile(tc.name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: key has mode %o", tc.name, info.Mode().Perm())
		}
	}
	// Requests under the front proxy's authority may claim any user, so nothing
	// that the cluster's own authority signed may pass for it.
	front, err := tls.LoadX509KeyPair(c.CertFile(FrontProxyClient), c.KeyFile(FrontProxyClient))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := front.Leaf.Verify(x509.VerifyOptions{Roots: c.Authority().Pool()}); err == nil {
		t.Error("the front proxy's certificate is signed by the cluster's authority")
	}
}

func TestWriteKubeconfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := NewCluster(filepath.Join(dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config")
	// The second time it replaces its own file.
	for range 2 {
		if err := WriteKubeconfig(c.Kubeconfig(Admin, "https://127.0.0.1:6443"), path); err != nil {
			t.Fatal(err)
		}
	}
	rest, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if rest.Host != "https://127.0.0.1:6443" || len(rest.CertData) == 0 || len(rest.CAData) == 0 {
		t.Errorf("kubeconfig is incomplete: %+v", rest)
	}

	foreign := clientcmdapi.NewConfig()
	foreign.Contexts["production"] = clientcmdapi.NewContext()
	theirs := filepath.Join(dir, "theirs")
	if err := clientcmd.WriteToFile(*foreign, theirs); err != nil {
		t.Fatal(err)
	}
	if err := WriteKubeconfig(c.Kubeconfig(Admin, "https://127.0.0.1:6443"), theirs); !errors.Is(err, ErrForeignKubeconfig) {
		t.Errorf("somebody else's kubeconfig was overwritten (error %v)", err)
	}
}
