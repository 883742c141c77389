package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName is the name of context, cluster and user in every kubeconfig that
// is written here.
const ContextName = "kubefoundry-devcluster"

// ErrForeignKubeconfig says that a kubeconfig file is not one of ours.
var ErrForeignKubeconfig = errors.New("holds contexts of other clusters")

// Kubeconfig is a kubeconfig for the user whose certificate is called name.
func (c *Cluster) Kubeconfig(name, server string) *clientcmdapi.Config {
	pair := c.pairs[name]
	config := clientcmdapi.NewConfig()
	config.Clusters[ContextName] = &clientcmdapi.Cluster{
		Server:                   server,
		CertificateAuthorityData: c.pairs[CA].Cert,
	}
	config.AuthInfos[ContextName] = &clientcmdapi.AuthInfo{
		ClientCertificateData: pair.Cert,
		ClientKeyData:         pair.Key,
	}
	config.Contexts[ContextName] = &clientcmdapi.Context{Cluster: ContextName, AuthInfo: ContextName}
	config.CurrentContext = ContextName
	return config
}

// WriteKubeconfig writes config to path with access for the owner only. It
// replaces a file that an earlier development cluster left, and no other:
// overwriting somebody's own kubeconfig would lose their credentials.
func WriteKubeconfig(config *clientcmdapi.Config, path string) error {
	switch found, err := clientcmd.LoadFromFile(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("kubeconfig %s exists and cannot be read as one; choose another path: %w", path, err)
	default:
		for name := range found.Contexts {
			if name != ContextName {
				return fmt.Errorf("kubeconfig %s: %w (%s); choose another path", path, ErrForeignKubeconfig, name)
			}
		}
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	return os.Chmod(path, 0o600)
}
