package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/kubefoundry/kubefoundry/internal/aggregation"
)

// wayOptions say how a client reaches a server.
type wayOptions struct {
	server, ca, tokenFile string
	cluster               bool
	kubeconfig, context   string
}

func (o *wayOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.server, "server", cmp.Or(os.Getenv("KUBEFOUNDRY_SERVER"), "http://127.0.0.1:3001"), "the server's address; also KUBEFOUNDRY_SERVER")
	f.StringVar(&o.ca, "server-ca", "", "certificate authorities of the server, PEM; the system's when left out")
	f.StringVar(&o.tokenFile, "token-file", "", "file with a token of the cluster to send to --server; read again when it changes")
	f.BoolVar(&o.cluster, "cluster", false, "go through the Kubernetes API of the kubeconfig, as its user, in place of --server")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; implies --cluster")
	f.StringVar(&o.context, "context", "", "context of the kubeconfig; implies --cluster")
}

// way is how a server is reached.
type way struct {
	name    string // for people
	address *url.URL
	client  *http.Client
}

// find is the way to the server. A namespace is that of all requests, where they are about one: whoever has rights only there
// is let through to it by the Kubernetes API.
func (o wayOptions) find(namespace string) (way, error) {
	if o.cluster || o.kubeconfig != "" || o.context != "" {
		if o.tokenFile != "" || o.ca != "" {
			return way{}, errors.New("--token-file and --server-ca go with --server: with --cluster, the kubeconfig says who you are")
		}
		return o.throughCluster(namespace)
	}
	server := o.server
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	address, err := url.Parse(server)
	if err != nil {
		return way{}, fmt.Errorf("server: %w", err)
	}
	if address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
		return way{}, fmt.Errorf("server %q: want an address such as http://127.0.0.1:3001", o.server)
	}
	plain, err := o.transport()
	if err != nil {
		return way{}, err
	}
	w := way{name: o.server, address: address, client: &http.Client{Transport: plain}}
	if o.tokenFile == "" {
		return w, nil
	}
	if host := address.Hostname(); address.Scheme == "http" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return way{}, fmt.Errorf("server %s: a token is sent to another machine only over https", o.server)
	}
	if w.client.Transport, err = transport.NewBearerAuthWithRefreshRoundTripper("", o.tokenFile, plain); err != nil {
		return way{}, fmt.Errorf("--token-file %s: %w", o.tokenFile, err)
	}
	return w, nil
}

func (o wayOptions) throughCluster(namespace string) (way, error) {
	config, name, err := clusterAccess(o.kubeconfig, o.context)
	if err != nil {
		return way{}, err
	}
	config.Timeout = 0 // a stream has none
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return way{}, fmt.Errorf("cluster %s: %w", name, err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return way{}, fmt.Errorf("cluster %s: %w", name, err)
	}
	return way{name: "cluster " + name, address: base.JoinPath(aggregation.ProxyPath(namespace)), client: client}, nil
}

// transport differs from the default one in that it gives a server that does not answer up sooner.
func (o wayOptions) transport() (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--server-ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--server-ca %s: no PEM certificate in it", o.ca)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return t, nil
}
