package main

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// clusterAccess finds the cluster as kubectl does: the given kubeconfig, else KUBECONFIG or ~/.kube/config, else the
// ServiceAccount of the pod that this runs in. name is the context's name.
func clusterAccess(kubeconfig, context string) (config *rest.Config, name string, err error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
	config, err = loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) && kubeconfig == "" {
		config, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, "", errors.New("no cluster: there is no kubeconfig and this is no pod; " +
				"give --kubeconfig, set KUBECONFIG, or run `make demo` for a cluster of its own")
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("cluster access: %w", err)
	}
	if raw, err := loader.RawConfig(); err == nil {
		name = raw.CurrentContext
	}
	if context != "" {
		name = context
	}
	if name == "" {
		name = "in-cluster"
	}
	config.UserAgent = "kubefoundry/" + buildVersion().Version
	return config, name, nil
}

// ownNamespace is where KubeFoundry keeps what is its own: the pod's namespace, or the one given.
func ownNamespace(given string) string {
	if given != "" {
		return given
	}
	if b, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); err == nil && len(b) > 0 {
		return string(b)
	}
	return "kubefoundry-system"
}
