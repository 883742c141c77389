package watch

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// account makes a ServiceAccount and returns a configuration that acts as it, and its name as RBAC knows it.
func (c *cluster) account(t *testing.T, namespace string) (*rest.Config, rbacv1.Subject) {
	t.Helper()
	accounts := c.kube.CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "watcher"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	token, err := accounts.CreateToken(t.Context(), "watcher", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token.Status.Token
	return config, rbacv1.Subject{Kind: "ServiceAccount", Name: "watcher", Namespace: namespace}
}

// grantAll lets a subject watch something in all namespaces.
func (c *cluster) grantAll(t *testing.T, name string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	t.Helper()
	rbac := c.kube.RbacV1()
	_, err := rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{subject},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = rbac.ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{})
		_ = rbac.ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{})
	})
}

// grant lets a subject watch something in one namespace.
func (c *cluster) grant(t *testing.T, namespace string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	t.Helper()
	rbac := c.kube.RbacV1()
	_, err := rbac.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "watch"}, Rules: rules}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rbac.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "watch"}, Subjects: []rbacv1.Subject{subject},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "watch"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func may(group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"list", "watch"}}
}

func TestAForbiddenKindIsANamedStateUntilRightsCome(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	c.workspace(t, ns, "seen")
	config, subject := c.account(t, ns)
	c.grantAll(t, "some-"+ns, subject, may("", "pods", "nodes", "events"), may("kaito.sh", "workspaces"),
		may("apiextensions.k8s.io", "customresourcedefinitions"), may("apps", "deployments"))
	r, _ := c.watcher(t, func(o *Options) { o.Config = config })

	state := awaits(t, r, api.SourcesKey(api.KindDeployments), func(s api.KindState) bool {
		return sourceOf(s, "rayservices.ray.io").State == api.SourceStateFailed && sourceOf(s, "workspaces.kaito.sh").State == api.SourceStateSynced
	})
	require.False(t, state.Synced)
	source := sourceOf(state, "rayservices.ray.io")
	require.Equal(t, "kuberay", source.Runtime)
	require.Contains(t, source.Error, "system:serviceaccount:"+ns+":watcher may not list and watch rayservices.ray.io")
	require.Contains(t, source.Error, `{apiGroups: ["ray.io"], resources: ["rayservices"], verbs: [list, watch]}`)
	require.Contains(t, state.Error, "rayservices.ray.io")
	require.False(t, source.Since.IsZero())
	awaits(t, r, api.DeploymentKey(ns, "kaito", "seen"), func(api.Deployment) bool { return true })
	r.synced(t, api.KindNodes, api.KindPools, api.KindCapacity, api.KindRuntimes)
	r.quiet(t)
	require.NotContains(t, r.history(), "settle deployments", "what may not be listed must not be purged")

	c.workspace(t, ns, "later")
	awaits(t, r, api.DeploymentKey(ns, "kaito", "later"), func(api.Deployment) bool { return true })
	eventually(t, "a kind of which a part is forbidden still tells what happens", func() bool {
		_, ok := r.happened(api.DeploymentKey(ns, "kaito", "later"), api.EventCreated)
		return ok
	})

	c.grantAll(t, "rest-"+ns, subject, may("ray.io", "rayservices"), may("nvidia.com", "dynamographdeployments"), may("", "configmaps"))
	r.awaitsLong(t, api.KindDeployments)
	require.Contains(t, r.history(), "settle deployments")
}

func TestAnInstallationMayBeLimitedToNamespaces(t *testing.T) {
	c := needCluster(t)
	mine, theirs := c.namespace(t), c.namespace(t)
	c.workspace(t, mine, "w")
	c.workspace(t, theirs, "w")
	c.pod(t, mine, "p", "", 0, map[string]string{workspaceLabel: "w"})
	config, subject := c.account(t, mine)
	c.grant(t, mine, subject, may("", "pods", "events"), may("kaito.sh", "workspaces"), may("ray.io", "rayservices"),
		may("nvidia.com", "dynamographdeployments"), may("apps", "deployments"))
	r, _ := c.watcher(t, func(o *Options) { o.Config, o.Namespaces = config, []string{mine} })

	r.synced(t, api.KindDeployments, api.KindPods, api.KindRuntimes)
	require.Contains(t, r.snapshot(), api.DeploymentKey(mine, "kaito", "w"))
	require.Contains(t, r.snapshot(), api.PodKey(mine, "p"))
	require.NotContains(t, r.snapshot(), api.DeploymentKey(theirs, "kaito", "w"))
	runtimes, ok := read[api.KindState](t, r, api.SourcesKey(api.KindRuntimes))
	require.True(t, ok)
	require.Contains(t, runtimes.Error, "customresourcedefinitions", "served versions are asked for, since definitions may not be watched")
	for _, kind := range []api.Kind{api.KindNodes, api.KindPools, api.KindCapacity} {
		state := awaits(t, r, api.SourcesKey(kind), func(s api.KindState) bool {
			return sourceOf(s, "nodes").State == api.SourceStateFailed
		})
		require.False(t, state.Synced, "%s", kind)
		require.Contains(t, state.Error, `may not list and watch nodes`, "%s", kind)
		require.Contains(t, state.Error, "outside of the namespaces "+mine, "%s", kind)
	}
}
