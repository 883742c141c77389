package serving

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// The APIService has one name in a cluster, so its story is told in one test.
func TestAuthorityIsKeptInTheAPIService(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	admin, err := dynamic.NewForConfig(shared.Cluster(t).Config())
	require.NoError(t, err)
	client := admin.Resource(apiServices())
	patch := func(text string) {
		t.Helper()
		_, err := client.Patch(t.Context(), apiServiceName, types.MergePatchType, []byte(text), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	bundled := func() string {
		there, err := client.Get(t.Context(), apiServiceName, metav1.GetOptions{})
		require.NoError(t, err)
		encoded, _, _ := unstructured.NestedString(there.Object, "spec", "caBundle")
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(t, err)
		return string(decoded)
	}

	core, logs := observer.New(zap.InfoLevel)
	o := s.options(t)
	o.Log = zap.New(core)
	c := selfMadeCertificate(t, o)
	running(t, c)
	said := func(text string) int { return logs.FilterMessageSnippet(text).Len() }
	saidSoon := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool { return said(text) > 0 }, 5*time.Second, 10*time.Millisecond)
	}
	writtenSoon := func() {
		t.Helper()
		require.Eventually(t, func() bool { return bundled() == string(c.CA()) }, 5*time.Second, 10*time.Millisecond)
	}

	// Not allowed: said once, with what to do.
	saidSoon("allow its ServiceAccount to get and patch this APIService, or set spec.caBundle to ca.crt of the Secret " + o.Namespace)
	time.Sleep(5 * o.checkEvery)
	assert.Equal(t, 1, said("cannot get the APIService"))
	allowAPIService(t, s)

	saidSoon("no APIService")
	_, err = client.Create(t.Context(), apiService(s.namespace, service), metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, client.Delete(context.Background(), apiServiceName, metav1.DeleteOptions{}))
	})
	writtenSoon()

	patch(`{"spec":{"caBundle":null}}`)
	writtenSoon()
	patch(`{"spec":{"caBundle":null,"insecureSkipTLSVerify":true}}`)
	writtenSoon()
	_, stranger := newPair(t)
	patch(`{"spec":{"caBundle":"` + base64.StdEncoding.EncodeToString(stranger.cert) + `"}}`)
	writtenSoon()

	// A new authority follows without a restart.
	old := string(c.CA())
	require.NoError(t, s.admin.CoreV1().Secrets(s.namespace).Delete(t.Context(), secretName, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return string(c.CA()) != old }, 5*time.Second, 10*time.Millisecond)
	writtenSoon()

	// That of another installation is left alone.
	patch(`{"spec":{"caBundle":null,"service":{"namespace":"elsewhere"}}}`)
	saidSoon(`the APIService leads to the service "elsewhere/kubefoundry"`)
	time.Sleep(5 * o.checkEvery)
	assert.Empty(t, bundled())
	assert.Equal(t, 1, said("the APIService leads to"))

	for _, entry := range logs.All() {
		assert.NotContains(t, entry.Message, "PRIVATE KEY")
		assert.NotContains(t, entry.ContextMap(), "PRIVATE KEY")
	}
}

func apiService(namespace, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": apiServiceName},
		"spec": map[string]any{
			"group": "live.kubefoundry.io", "version": "v1alpha1",
			"groupPriorityMinimum": int64(1000), "versionPriority": int64(10),
			"service": map[string]any{"namespace": namespace, "name": name, "port": int64(443)},
		},
	}}
}

// allowAPIService gives the ServiceAccount of a site the rights on the APIService.
func allowAPIService(t *testing.T, s *site) {
	t.Helper()
	named := metav1.ObjectMeta{Name: service + "-apiservice-" + s.namespace}
	_, err := s.admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: named, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"apiregistration.k8s.io"}, Resources: []string{"apiservices"},
		ResourceNames: []string{apiServiceName}, Verbs: []string{"get", "patch"},
	}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: named, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: named.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: s.config.Impersonate.UserName}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}
