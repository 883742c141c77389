package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/httpapi"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/serving"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/view"
)

// accessOptions say who may reach the server, and how.
type accessOptions struct {
	authentication       string
	certificateFile, key string
	service              string
	plain                bool
	allowedHosts         []string
}

func (o *accessOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.authentication, "authentication", "auto", "on: every caller is a user of the cluster and sees what they may; off: every caller acts as the kubeconfig; auto: on in a pod")
	flags.StringVar(&o.certificateFile, "tls-certificate", "", "serve HTTPS with this certificate, PEM; read again when it changes")
	flags.StringVar(&o.key, "tls-key", "", "key of --tls-certificate, PEM")
	flags.StringVar(&o.service, "tls-service", "", "serve HTTPS with a certificate made for this Service in --namespace, kept in the Secret <service>-serving-certificate")
	flags.BoolVar(&o.plain, "allow-plain-http", false, "serve HTTP beyond this machine, where something before the server does TLS")
	flags.StringSliceVar(&o.allowedHosts, "allowed-hosts", nil, "without authentication: names that the server answers to, beside those of this machine")
}

func (o *accessOptions) authenticates() bool {
	if o.authentication == "auto" {
		_, inPod := os.LookupEnv("KUBERNETES_SERVICE_HOST")
		return inPod
	}
	return o.authentication == "on"
}

func (o *accessOptions) secure() bool { return o.certificateFile != "" || o.service != "" }

// check refuses what would hand the cluster to whoever comes by.
func (o *accessOptions) check(address net.Addr) error {
	switch {
	case !slices.Contains([]string{"on", "off", "auto"}, o.authentication):
		return fmt.Errorf("--authentication %q is not known: choose on, off or auto", o.authentication)
	case (o.certificateFile == "") != (o.key == ""):
		return errors.New("--tls-certificate and --tls-key go together")
	case o.certificateFile != "" && o.service != "":
		return errors.New("--tls-certificate and --tls-service exclude each other: the certificate is either given or made")
	case isLoopback(address):
		return nil
	case !o.authenticates():
		return fmt.Errorf("--listen %s can be reached from other machines, and without authentication everybody there could do what this server's kubeconfig can: "+
			"listen on 127.0.0.1, or set --authentication on", address)
	case !o.secure() && !o.plain:
		return fmt.Errorf("--listen %s can be reached from other machines, and without TLS everybody on the way could read the callers' tokens: "+
			"set --tls-certificate and --tls-key, or --tls-service, or --allow-plain-http where something before the server does TLS", address)
	}
	return nil
}

// certificate is what to serve HTTPS with; nil for HTTP.
func (o *accessOptions) certificate(ctx context.Context, config *rest.Config, namespace string, log *zap.Logger) (*serving.Certificate, error) {
	switch {
	case o.certificateFile != "":
		return serving.FromFiles(o.certificateFile, o.key) //nolint:wrapcheck // it names the files
	case o.service == "":
		return nil, nil //nolint:nilnil // none is wanted
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--tls-service: %w", err)
	}
	aggregation, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--tls-service: %w", err)
	}
	return serving.SelfMade(ctx, serving.Options{ //nolint:wrapcheck // it says what it was for
		Client: client, Aggregation: aggregation, Namespace: namespace, Service: o.service, Log: log.Named("tls"),
	})
}

// identity is who tells callers apart.
func (o *accessOptions) identity(config *rest.Config, clusterName, namespace string, documents *view.View, log *zap.Logger) (httpapi.Identity, error) {
	if !o.authenticates() {
		return auth.NewUnchecked(config, clusterName), nil
	}
	resources := map[string]auth.Resource{}
	for _, runtime := range registry.All() {
		info := runtime.Info()
		resources[info.ID] = auth.Resource{Group: info.Resource.Group, Resource: info.Resource.Plural}
	}
	return auth.NewDelegated(auth.Options{ //nolint:wrapcheck // it says what it was for
		Config: config, Rights: auth.RightsFor(resources, namespace), Documents: documents, Logger: log.Named("auth"),
	})
}

// hosts are the names that a server answers to that takes everybody for its user; all where it does not.
func (o *accessOptions) hosts(address net.Addr) []string {
	if o.authenticates() {
		return nil
	}
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, o.allowedHosts...)
	if tcp, ok := address.(*net.TCPAddr); ok {
		hosts = append(hosts, tcp.IP.String())
	}
	return hosts
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
