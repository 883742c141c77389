package install

import (
	"fmt"
	"log/slog"
	"sync"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// access is the cluster, as somebody.
type access struct {
	config    *rest.Config
	kube      kubernetes.Interface
	dynamic   dynamic.Interface
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func newAccess(config *rest.Config) (*access, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, 0 // the API server's own flow control protects it
	config.Timeout = 0               // hooks are watched
	config.WarningHandlerWithContext = rest.NoWarnings{}
	a := &access{config: config}
	var err error
	if a.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if a.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	a.discovery = memory.NewMemCacheClient(a.kube.Discovery())
	a.mapper = restmapper.NewDeferredDiscoveryRESTMapper(a.discovery)
	return a, nil
}

// getter is how Helm reaches the cluster.
type getter struct {
	*access
	namespace string
}

func (g getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

func (g getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}})
}

// asHelm is by whom fields are owned: by the same as with Helm's own program, or the two would fight over them.
var asHelm = sync.OnceFunc(func() { kube.ManagedFieldsManager = "helm" })

// helm is Helm for the releases of a namespace.
func (a *access) helm(namespace string) (*action.Configuration, error) {
	asHelm()
	c := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := c.Init(getter{a, namespace}, namespace, "secret"); err != nil {
		return nil, fmt.Errorf("helm: %w", err)
	}
	if client, ok := c.KubeClient.(*kube.Client); ok {
		client.Namespace = namespace
	}
	return c, nil
}
