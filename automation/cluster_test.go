package automation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// lateRights are those of a server whose view is made after them.
type lateRights struct{ *auth.Delegated }

func (r *lateRights) Grant(ctx context.Context, c *auth.Caller) (auth.Grant, error) {
	return r.Delegated.Sight(ctx, c)
}

// onCluster is a rig that asks a real API server.
func onCluster(t *testing.T, c *devcluster.Cluster) *rig {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	require.NoError(t, err)
	tokens, err := auth.NewTokens(client, Audience)
	require.NoError(t, err)
	late := &lateRights{}
	g := newRig(t, bus.Config{}, Options{Tokens: tokens, Rights: late})
	late.Delegated, err = auth.NewDelegated(auth.Options{
		Config: c.Config(), Documents: g.view, Logger: zap.NewNop(),
		Rights: auth.RightsFor(map[string]auth.Resource{"kaito": {Group: "kaito.sh", Resource: "workspaces"}}, "kubefoundry-system"),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- late.Delegated.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return g
}

// viewer is a role that opens deployments and pods.
func viewer(t *testing.T, c *devcluster.Cluster) string {
	t.Helper()
	return c.Role(t, "viewer",
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
		rbacv1.PolicyRule{APIGroups: []string{"kaito.sh"}, Resources: []string{"workspaces"}, Verbs: []string{"list"}})
}

func TestServiceAccountsSeeTheirNamespaces(t *testing.T) {
	c := shared.Cluster(t)
	g := onCluster(t, c)
	mine, others := devcluster.Namespace(t, c), devcluster.Namespace(t, c)
	robot := c.ServiceAccount(t, mine, "robot")
	role := viewer(t, c)
	binding := c.BindIn(t, mine, robot.Subject(), role)

	stop := make(chan struct{})
	churned := make(chan struct{})
	go func() {
		defer close(churned)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			for _, namespace := range []string{mine, others} {
				key := deployment(namespace, rand.IntN(20))
				if rand.IntN(5) == 0 {
					g.publisher.Delete(key, time.Now())
				} else {
					g.put(key, i)
				}
				g.emit(key, api.EventChanged, fmt.Sprint(i))
			}
			g.put(api.NodeKey("node-1"), i)
		}
	}()
	defer func() { // also where the test fails
		select {
		case <-stop:
		default:
			close(stop)
		}
		<-churned
	}()

	nc, js := g.dial(t, robot.Token(t, Audience))
	w := watch(t, nc, js)
	require.Eventually(t, func() bool { return len(w.holds()) > 5 && len(w.heard()) > 50 }, 10*time.Second, 10*time.Millisecond)

	// Wrong in every way.
	for what, token := range map[string]string{
		"for the API server": robot.Token(t), "for another": robot.Token(t, "other"), "garbage": "garbage", "none": "",
		"expired": expired(t, c, robot),
	} {
		_, err := g.connect(token)
		require.ErrorIs(t, err, nats.ErrAuthorization, what)
	}

	// Rights are gained, and lost.
	second := c.BindIn(t, others, robot.Subject(), role)
	for _, have := range []func() any{func() any { return w.holds() }, func() any { return w.heard() }} {
		require.Eventually(t, func() bool { return strings.Contains(fmt.Sprint(have()), others) }, 45*time.Second, 20*time.Millisecond)
	}
	revoked := second.Revoke(t)
	require.Eventually(t, func() bool { return !strings.Contains(fmt.Sprint(keys(w.holds())), others) }, 45*time.Second, 20*time.Millisecond)
	t.Logf("gone %v after the right", time.Since(revoked))
	assert.Less(t, time.Since(revoked), auth.Validity+time.Second)
	assert.NotContains(t, fmt.Sprint(retained(t, js)), others, "events are gone as well")
	silent := len(w.heard())
	time.Sleep(time.Second)
	assert.NotContains(t, fmt.Sprint(w.heard()[silent:]), others)

	close(stop)
	<-churned
	sight := kaito(mine)
	g.eventually(t, w, sight)
	kv, err := js.KeyValue(t.Context(), bucketName)
	require.NoError(t, err)
	listed, err := kv.Keys(t.Context())
	require.NoError(t, err)
	want := shown(t, g.view, sight)
	assert.ElementsMatch(t, keys(want), listed)
	for key, document := range want {
		entry, err := kv.Get(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, document, string(entry.Value()))
	}
	for _, key := range keys(shown(t, g.view, kaito(others))) {
		_, err := kv.Get(t.Context(), key)
		require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
	}

	// Nothing at all is left of an account that lost everything, and its connection stays.
	binding.Revoke(t)
	require.Eventually(t, func() bool { return len(w.holds()) == 0 && len(retained(t, js)) == 0 }, 45*time.Second, 50*time.Millisecond)
	assert.True(t, nc.IsConnected())
}

func kaito(namespaces ...string) *api.Sight { return sees(false, namespaces...) }

func keys(m map[string]string) []string {
	all := make([]string, 0, len(m))
	for key := range m {
		all = append(all, key)
	}
	return all
}

// expired is a token that was good once: of an account that is gone.
func expired(t *testing.T, c *devcluster.Cluster, robot *devcluster.Identity) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	require.NoError(t, err)
	namespace := strings.Split(robot.Name, ":")[2]
	gone := c.ServiceAccount(t, namespace, "gone")
	token := gone.Token(t, Audience)
	require.NoError(t, client.CoreV1().ServiceAccounts(namespace).Delete(t.Context(), "gone", deleteNow()))
	return token
}

func TestADeletedServiceAccountIsDisconnected(t *testing.T) {
	c := shared.Cluster(t)
	g := onCluster(t, c)
	namespace := devcluster.Namespace(t, c)
	robot := c.ServiceAccount(t, namespace, "robot")
	g.put(deployment(namespace, 1), 1)
	nc, js := g.dial(t, robot.Token(t, Audience))
	w := watch(t, nc, js)
	assert.Empty(t, w.holds(), "no rights yet")
	c.BindIn(t, namespace, robot.Subject(), viewer(t, c))
	require.Eventually(t, func() bool { return len(w.holds()) == 1 }, 45*time.Second, 10*time.Millisecond)

	client, err := kubernetes.NewForConfig(c.Config())
	require.NoError(t, err)
	deleted := time.Now()
	require.NoError(t, client.CoreV1().ServiceAccounts(namespace).Delete(t.Context(), "robot", deleteNow()))
	require.Eventually(t, nc.IsClosed, 60*time.Second, 10*time.Millisecond)
	t.Logf("disconnected %v after the account was deleted", time.Since(deleted))
	// The API server itself believes what it found out about a token for 10 s.
	assert.Less(t, time.Since(deleted), auth.Validity+11*time.Second)
}
