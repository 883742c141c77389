package egress

import (
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserver "k8s.io/apiserver/pkg/apis/apiserver/v1beta1"
	"sigs.k8s.io/yaml"
)

// WriteConfig writes the API server's egress selector configuration to path:
// everything in the cluster is reached through the proxy at socket.
func WriteConfig(path, socket string) error {
	config := apiserver.EgressSelectorConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: apiserver.SchemeGroupVersion.String(),
			Kind:       "EgressSelectorConfiguration",
		},
		EgressSelections: []apiserver.EgressSelection{{
			Name: "cluster",
			Connection: apiserver.Connection{
				ProxyProtocol: apiserver.ProtocolHTTPConnect,
				Transport:     &apiserver.Transport{UDS: &apiserver.UDSTransport{UDSName: socket}},
			},
		}},
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("egress configuration: %w", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("egress configuration: %w", err)
	}
	return nil
}
