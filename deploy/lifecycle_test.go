package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubefoundry/kubefoundry/deploy"
)

const bundle = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJoVENDQVN1Z0F3SUJBZ0lVCg=="

// serverWrites does what the server does once it has a certificate.
func (c cluster) serverWrites(t *testing.T, registration *unstructured.Unstructured) {
	t.Helper()
	_, err := deploy.Resource(c.dynamic, registration).Patch(t.Context(), registration.GetName(), types.MergePatchType,
		[]byte(`{"spec":{"caBundle":"`+bundle+`","insecureSkipTLSVerify":false}}`), metav1.PatchOptions{})
	require.NoError(t, err)
}

func (c cluster) requireBundle(t *testing.T, registration *unstructured.Unstructured) {
	t.Helper()
	there, err := deploy.Resource(c.dynamic, registration).Get(t.Context(), registration.GetName(), metav1.GetOptions{})
	require.NoError(t, err)
	found, _, err := unstructured.NestedString(there.Object, "spec", "caBundle")
	require.NoError(t, err)
	require.Equal(t, bundle, found, "what the server wrote was taken away")
}

// An upgrade that took the server's authority out of the APIService would cut everybody off until the server notices.
func TestAnUpgradeKeepsWhatTheServerWrote(t *testing.T) {
	c := needCluster(t)
	registration := find(manifests(t), "APIService", "v1alpha1.live.kubefoundry.io")
	t.Run("manifests", func(t *testing.T) {
		c.apply(t, manifests(t))
		c.serverWrites(t, registration)
		require.NoError(t, deploy.Apply(t.Context(), c.config))
		c.requireBundle(t, registration)
	})
	t.Run("helm", func(t *testing.T) {
		release := func(args ...string) (string, error) {
			return runHelm(t, "", append(args, "--kubeconfig", private.cluster.Kubeconfig(), "--namespace", deploy.Namespace)...)
		}
		t.Cleanup(func() {
			_, err := release("uninstall", "kubefoundry")
			require.NoError(t, err)
		})
		notes, err := release("install", "kubefoundry", "chart", "--create-namespace")
		require.NoError(t, err)
		require.Contains(t, notes, "rollout status deployment/kubefoundry")
		require.Contains(t, notes, "/backends/default/proxy/api/deployments")
		c.serverWrites(t, registration)
		notes, err = release("upgrade", "kubefoundry", "chart", "--set", "logLevel=debug,replicas=2,impersonation.enabled=false")
		require.NoError(t, err)
		require.Contains(t, notes, "There are 2 replicas without an external NATS")
		require.Contains(t, notes, "Impersonation is off")
		c.requireBundle(t, registration)
	})
}
