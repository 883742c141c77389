package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/internal/install"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

// installOptions say where charts come from, and how operations are kept.
type installOptions struct {
	sources, versions map[string]string
	lease, ready      time.Duration
}

func (o *installOptions) bind(flags *pflag.FlagSet) {
	flags.StringToStringVar(&o.sources, "install-sources", nil, "other addresses of charts and manifests, as in kuberay=https://mirror.example/kuberay or kaito=oci://registry.example/charts; of dynamo, kaito, kaito-crds, karpenter-crds, kuberay, nvidia")
	flags.StringToStringVar(&o.versions, "install-versions", nil, "other versions to install by default, as in kuberay=1.5.1; of dynamo, gpu-operator, kaito, kuberay")
	flags.DurationVar(&o.ready, "install-ready-timeout", 5*time.Minute, "how long what is installed may take to become ready")
	flags.DurationVar(&o.lease, "operation-lease", 30*time.Second, "how long an operation may be without a sign of life of the server that runs it, until it counts as interrupted")
}

// open makes what runs operations, and what they install.
func (o *installOptions) open(config *rest.Config, namespace string, log *zap.Logger) (*operations.Runner, *install.Installer, error) {
	installer, err := install.New(install.Options{Sources: o.sources, Versions: o.versions, Ready: o.ready})
	if err != nil {
		return nil, nil, fmt.Errorf("--install-sources, --install-versions: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("operations: %w", err)
	}
	return operations.New(operations.Options{
		Client: client, Namespace: namespace, Log: log.Named("operations"), Lease: o.lease, Facts: installer.Facts(config),
	}), installer, nil
}
