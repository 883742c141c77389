package pki

import (
	"fmt"
	"os"
	"path/filepath"
)

// Names of the certificate pairs of a cluster: NAME.crt and NAME.key in its
// folder. The signing key's public half is in NAME.crt too.
const (
	CA               = "ca"
	FrontProxyCA     = "front-proxy-ca"
	APIServer        = "apiserver"
	KubeletClient    = "apiserver-kubelet-client"
	FrontProxyClient = "front-proxy-client"
	Kubelet          = "kubelet"
	TokenSigning     = "service-account"
	Admin            = "admin"
	Controllers      = "kube-controller-manager"
	Scheduler        = "kube-scheduler"
)

// KubeletClientName is the common name of the certificate with which the API
// server calls kubelets.
const KubeletClientName = "kube-apiserver-kubelet-client"

// Cluster holds the certificates of one cluster and where they are on disk.
type Cluster struct {
	dir string
	ca  *Authority
	// pairs by the names above
	pairs map[string]Pair
}

// NewCluster makes all certificates of a cluster and writes them to dir, which
// is created. kubeletHosts are the addresses under which the nodes' kubelets are
// called.
func NewCluster(dir string, kubeletHosts ...string) (*Cluster, error) {
	ca, err := NewAuthority("kubefoundry-devcluster-ca")
	if err != nil {
		return nil, err
	}
	// A second authority: the API server trusts its clients to speak for others.
	front, err := NewAuthority("kubefoundry-devcluster-front-proxy-ca")
	if err != nil {
		return nil, err
	}
	signing, err := NewSigningKey()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, ca: ca, pairs: map[string]Pair{
		CA:           ca.Pair(),
		FrontProxyCA: front.Pair(),
		TokenSigning: signing,
	}}
	for _, issue := range []struct {
		name    string
		by      *Authority
		subject Subject
	}{
		{APIServer, ca, Subject{CommonName: "kube-apiserver", Hosts: []string{
			"127.0.0.1", "localhost", "10.96.0.1", "kubernetes", "kubernetes.default",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}}},
		{KubeletClient, ca, Subject{CommonName: KubeletClientName, Groups: []string{"system:masters"}}},
		{FrontProxyClient, front, Subject{CommonName: "front-proxy-client"}},
		{Kubelet, ca, Subject{CommonName: "system:node:kubelet", Groups: []string{"system:nodes"}, Hosts: kubeletHosts}},
		{Admin, ca, Subject{CommonName: "kubernetes-admin", Groups: []string{"system:masters"}}},
		{Controllers, ca, Subject{CommonName: "system:kube-controller-manager"}},
		{Scheduler, ca, Subject{CommonName: "system:kube-scheduler"}},
	} {
		pair, err := issue.by.Issue(issue.subject)
		if err != nil {
			return nil, err
		}
		c.pairs[issue.name] = pair
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	for name, pair := range c.pairs {
		if err := os.WriteFile(c.CertFile(name), pair.Cert, 0o600); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", name, err)
		}
		if err := os.WriteFile(c.KeyFile(name), pair.Key, 0o600); err != nil {
			return nil, fmt.Errorf("key %s: %w", name, err)
		}
	}
	return c, nil
}

// CertFile is the path of the certificate called name.
func (c *Cluster) CertFile(name string) string { return filepath.Join(c.dir, name+".crt") }

// KeyFile is the path of the key called name.
func (c *Cluster) KeyFile(name string) string { return filepath.Join(c.dir, name+".key") }

// Pair is the certificate and key called name; empty if there is none.
func (c *Cluster) Pair(name string) Pair { return c.pairs[name] }

// Authority signs the cluster's certificates.
func (c *Cluster) Authority() *Authority { return c.ca }
