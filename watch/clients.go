package watch

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/runtimes"
)

// clients are the ways to the API server.
type clients struct {
	host     string
	kube     kubernetes.Interface
	dynamic  dynamic.Interface
	metadata metadata.Interface
	discover func(context.Context, runtimes.Resource) ([]string, error)
	version  func(context.Context) (string, error)
	// close ends the connections that nobody uses any more.
	close func()
}

// newClients makes them of a configuration, which stays as it is. They share one connection, and protobuf is spoken where
// Go types allow it: decoding a pod takes a quarter of the time.
func newClients(config *rest.Config) (clients, error) {
	if config == nil {
		return clients{}, errNoConfig
	}
	config = rest.CopyConfig(config)
	config.Timeout = 0 // a watch has no end
	config.QPS, config.Burst = 50, 100
	// Where the API server is overloaded our own pauses are the ones to keep.
	if config.UserAgent == "" {
		config.UserAgent = "kubefoundry"
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return clients{}, fmt.Errorf("watch: client for %s: %w", config.Host, err)
	}
	typed := rest.CopyConfig(config)
	typed.AcceptContentTypes, typed.ContentType = runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON, runtime.ContentTypeProtobuf
	c := clients{host: config.Host, close: func() { utilnet.CloseIdleConnectionsFor(client.Transport) }}
	kube, err := kubernetes.NewForConfigAndClient(typed, client)
	if err != nil {
		return clients{}, fmt.Errorf("watch: client for %s: %w", config.Host, err)
	}
	c.kube = kube
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, client); err != nil {
		return clients{}, fmt.Errorf("watch: client for %s: %w", config.Host, err)
	}
	if c.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(config), client); err != nil {
		return clients{}, fmt.Errorf("watch: client for %s: %w", config.Host, err)
	}
	rest := kube.Discovery().RESTClient()
	c.discover = discover(rest)
	c.version = func(ctx context.Context) (string, error) {
		raw, err := rest.Get().AbsPath("/version").Do(ctx).Raw()
		if err != nil {
			return "", err
		}
		var info version.Info
		if err := json.Unmarshal(raw, &info); err != nil {
			return "", nil //nolint:nilerr // it answers, if oddly
		}
		return info.GitVersion, nil
	}
	return c, nil
}
