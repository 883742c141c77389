package settings

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

const (
	patience = 20 * time.Second
	tick     = 5 * time.Millisecond
)

// replica is one server's store, with the rights that the chart gives.
func replica(t *testing.T, config *rest.Config, namespace string) *Store {
	t.Helper()
	s, err := New(Options{Config: config, Namespace: namespace, Providers: []string{"dynamo", "kaito"}, Logger: zap.NewNop()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

func rule(verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{Name}, Verbs: verbs}
}

func TestEveryReplicaSeesAChangeAtOnce(t *testing.T) {
	cluster := shared.Cluster(t)
	namespace := devcluster.Namespace(t, cluster)
	server := cluster.ServiceAccount(t, namespace, "server")
	cluster.BindIn(t, namespace, server.Subject(), cluster.Role(t, "settings-reader", rule("get", "list", "watch")))
	a, b := replica(t, server.Config(), namespace), replica(t, server.Config(), namespace)
	for _, s := range []*Store{a, b} {
		require.Eventually(t, func() bool { return s.Get().State.Synced }, patience, tick)
		require.Equal(t, Current{State: api.SettingsState{Synced: true}}, s.Get(), "nothing is stored")
	}

	admin := cluster.Config()
	written, err := a.Change(t.Context(), admin, api.SettingsChange{DefaultNamespace: new("ml"), ActiveProviderId: new("kaito")})
	require.NoError(t, err)
	require.Equal(t, api.SettingsConfig{DefaultNamespace: "ml", ActiveProviderId: "kaito"}, written.Config)
	for _, s := range []*Store{a, b} {
		s.Await(t.Context(), written.ResourceVersion)
		require.Equal(t, written.Config, s.Get().Config)
		require.Equal(t, written.ResourceVersion, s.Get().ResourceVersion)
	}

	t.Run("two changes of one version", func(t *testing.T) {
		_, err := b.Change(t.Context(), admin, api.SettingsChange{DefaultNamespace: new("chat"), ResourceVersion: written.ResourceVersion})
		require.NoError(t, err)
		_, err = a.Change(t.Context(), admin, api.SettingsChange{DefaultNamespace: new("other"), ResourceVersion: written.ResourceVersion})
		var e *api.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, api.ErrorCodeConflict, e.Code)
		require.Contains(t, e.Message, "read /api/settings again")
		require.Eventually(t, func() bool { return a.Get().Config.DefaultNamespace == "chat" }, patience, tick)
		require.Equal(t, "kaito", a.Get().Config.ActiveProviderId, "what is left out stays")
	})
	t.Run("many at once lose nothing silently", func(t *testing.T) {
		done := make(chan error, 10)
		for i := range 10 {
			go func() {
				_, err := a.Change(t.Context(), admin, api.SettingsChange{DefaultNamespace: new([]string{"n1", "n2"}[i%2])})
				done <- err
			}()
		}
		won := 0
		for range 10 {
			if err := <-done; err == nil {
				won++
			} else {
				var e *api.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, api.ErrorCodeConflict, e.Code)
			}
		}
		require.Positive(t, won)
	})
	t.Run("edited by hand", func(t *testing.T) {
		kube, err := kubernetes.NewForConfig(admin)
		require.NoError(t, err)
		edit := func(content string) {
			m, err := kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), Name, metav1.GetOptions{})
			require.NoError(t, err)
			m.Data[Key] = content
			m.Data["notes"] = "mine"
			m, err = kube.CoreV1().ConfigMaps(namespace).Update(t.Context(), m, metav1.UpdateOptions{})
			require.NoError(t, err)
			a.Await(t.Context(), m.ResourceVersion)
		}
		edit(`{"defaultNamespace":"Bad NS!!","activeProviderId":"kaito","ofALaterVersion":{"x":1}}`)
		require.Equal(t, api.SettingsConfig{ActiveProviderId: "kaito"}, a.Get().Config)
		require.Contains(t, a.Get().State.Error, "defaultNamespace")
		written, err := a.Change(t.Context(), admin, api.SettingsChange{DefaultNamespace: new("ml"), ActiveProviderId: new("")})
		require.NoError(t, err)
		require.Equal(t, api.SettingsConfig{DefaultNamespace: "ml"}, written.Config)
		m, err := kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), Name, metav1.GetOptions{})
		require.NoError(t, err)
		require.JSONEq(t, `{"defaultNamespace":"ml","ofALaterVersion":{"x":1}}`, m.Data[Key], "what is not known stays")
		require.Equal(t, "mine", m.Data["notes"])

		edit(`not json`)
		require.False(t, a.Get().State.Synced)
		require.Contains(t, a.Get().State.Error, "no JSON object")
		_, err = a.Change(t.Context(), admin, api.SettingsChange{DefaultNamespace: new("ml")})
		require.ErrorContains(t, err, "no JSON object")
		require.NoError(t, kube.CoreV1().ConfigMaps(namespace).Delete(t.Context(), Name, metav1.DeleteOptions{}))
		require.Eventually(t, func() bool { return b.Get().ResourceVersion == "" && b.Get().State.Synced }, patience, tick)
	})
	t.Run("as somebody without rights", func(t *testing.T) {
		_, err := a.Change(t.Context(), server.Config(), api.SettingsChange{DefaultNamespace: new("ml")})
		require.True(t, apierrors.IsForbidden(err), "%v", err)
	})
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	cluster := shared.Cluster(t)
	namespace := devcluster.Namespace(t, cluster)
	nobody := cluster.ServiceAccount(t, namespace, "nobody")
	s := replica(t, nobody.Config(), namespace)
	require.Eventually(t, func() bool { return s.Get().State.Error != "" && !s.Get().State.Synced }, patience, tick)
	require.Eventually(t, func() bool {
		state := s.Get().State
		return !state.Synced && state.Error == "the server may not watch the ConfigMap "+namespace+"/"+Name+"; its Helm chart grants that"
	}, patience, tick)
	cluster.BindIn(t, namespace, nobody.Subject(), cluster.Role(t, "settings-reader", rule("get", "list", "watch")))
	require.Eventually(t, func() bool { return s.Get().State.Synced }, patience, tick, "it heals")

	away := replica(t, &rest.Config{Host: "http://127.0.0.1:1"}, namespace)
	require.Eventually(t, func() bool { return away.Get().State.Error != "" && !away.Get().State.Synced }, patience, tick)
}

// TestInANewNamespace: on somebody's own machine the namespace may not be there yet.
func TestInANewNamespace(t *testing.T) {
	cluster := shared.Cluster(t)
	namespace := devcluster.Namespace(t, cluster) + "-new"
	s, err := New(Options{Config: cluster.Config(), Namespace: namespace, Logger: zap.NewNop()})
	require.NoError(t, err)
	_, err = s.Change(t.Context(), cluster.Config(), api.SettingsChange{DefaultNamespace: new("ml")})
	require.NoError(t, err)
	kube, err := kubernetes.NewForConfig(cluster.Config())
	require.NoError(t, err)
	t.Cleanup(func() { _ = kube.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{}) })
	m, err := kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.IsType(t, &corev1.ConfigMap{}, m)
}

func TestCheck(t *testing.T) {
	s := &Store{Options: Options{Providers: []string{"kaito"}}}
	assert.Empty(t, s.Check(api.SettingsChange{DefaultNamespace: new(""), ActiveProviderId: new("")}))
	assert.Len(t, s.Check(api.SettingsChange{DefaultNamespace: new("-"), ActiveProviderId: new("x")}), 2, "all at once")
}
