package watch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// gate stands between a watcher and the API server and can be shut: connections break and new ones are refused.
type gate struct {
	address, behind string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
}

func newGate(t *testing.T, config *rest.Config) (*gate, *rest.Config) {
	t.Helper()
	server, err := url.Parse(config.Host)
	require.NoError(t, err)
	g := &gate{address: "127.0.0.1:0", behind: server.Host, open: map[net.Conn]struct{}{}}
	g.lift(t)
	t.Cleanup(g.shut)
	config = rest.CopyConfig(config)
	config.Host = "https://" + g.address
	return g, config
}

func (g *gate) lift(t *testing.T) {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", g.address)
	require.NoError(t, err)
	g.mu.Lock()
	g.listener, g.address = listener, listener.Addr().String()
	g.mu.Unlock()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go g.pass(conn)
		}
	}()
}

func (g *gate) pass(front net.Conn) {
	var dial net.Dialer
	back, err := dial.DialContext(context.Background(), "tcp", g.behind)
	if err != nil {
		_ = front.Close()
		return
	}
	g.mu.Lock()
	g.open[front], g.open[back] = struct{}{}, struct{}{}
	g.mu.Unlock()
	go func() { _, _ = io.Copy(back, front); _ = back.Close() }()
	_, _ = io.Copy(front, back)
	_ = front.Close()
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.listener.Close()
	for conn := range g.open {
		_ = conn.Close()
	}
	clear(g.open)
}

func TestAnAPIServerThatGoesAwayLeavesStaleDocumentsAndNoGap(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	c.workspace(t, ns, "stays")
	c.workspace(t, ns, "goes")
	c.pod(t, ns, "p", "", 0, map[string]string{workspaceLabel: "stays"})
	g, config := newGate(t, c.config)
	r, _ := c.watcher(t, func(o *Options) { o.Config = config })
	r.synced(t, api.Kinds()...)

	g.shut()
	state := awaits(t, r, api.SourcesKey(api.KindDeployments), func(s api.KindState) bool {
		return sourceOf(s, "pods").State == api.SourceStateStale && sourceOf(s, "workspaces.kaito.sh").State == api.SourceStateStale
	})
	require.False(t, state.Synced)
	require.NotEmpty(t, state.Error)
	cluster := awaits(t, r, api.ClusterKey(), func(s api.ClusterState) bool { return !s.Connected })
	require.Contains(t, cluster.Error, g.address+" does not answer (connection refused)")
	require.NotEmpty(t, cluster.KubernetesVersion)
	require.Contains(t, r.snapshot(), api.DeploymentKey(ns, "kaito", "stays"))

	require.NoError(t, c.dynamic.Resource(workspaces).Namespace(ns).Delete(t.Context(), "goes", metav1.DeleteOptions{}))
	c.workspace(t, ns, "comes")
	c.patchPod(t, ns, "p", `{"metadata":{"labels":{"`+workspaceLabel+`":"comes"}}}`)
	g.lift(t)
	started := time.Now()
	awaits(t, r, api.ClusterKey(), func(s api.ClusterState) bool { return s.Connected })
	r.synced(t, api.Kinds()...)
	require.Less(t, time.Since(started), 8*time.Second, "sources do not sleep through the return of the API server")
	r.gone(t, api.DeploymentKey(ns, "kaito", "goes"))
	awaits(t, r, api.DeploymentKey(ns, "kaito", "comes"), func(d api.Deployment) bool { return d.PodCount == 1 })
	awaits(t, r, api.DeploymentKey(ns, "kaito", "stays"), func(d api.Deployment) bool { return d.PodCount == 0 })
}

func TestARestartOfTheAPIServerLosesNothing(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	c.workspace(t, ns, "goes")
	c.workspace(t, ns, "stays")
	g, config := newGate(t, c.config)
	r, _ := c.watcher(t, func(o *Options) { o.Config = config })
	r.synced(t, api.Kinds()...)

	// History is gone by the time that the watcher is back: it has to list anew and finds out what it did not see.
	g.shut()
	require.NoError(t, c.dynamic.Resource(workspaces).Namespace(ns).Delete(t.Context(), "goes", metav1.DeleteOptions{}))
	_, err := c.Compact(t.Context())
	if errors.Is(err, devcluster.ErrAttached) {
		t.Skip(err)
	}
	require.NoError(t, err)
	require.NoError(t, c.RestartAPIServer(t.Context()))
	c.workspace(t, ns, "comes")
	g.lift(t)
	r.synced(t, api.Kinds()...)
	r.gone(t, api.DeploymentKey(ns, "kaito", "goes"))
	awaits(t, r, api.DeploymentKey(ns, "kaito", "comes"), func(api.Deployment) bool { return true })
	require.Contains(t, r.snapshot(), api.DeploymentKey(ns, "kaito", "stays"))
	require.Equal(t, 1, r.count(api.DeploymentKey(ns, "kaito", "stays")), "a new list of the same is no change")
}

func TestRunLeavesNoGoroutine(t *testing.T) {
	c := needCluster(t)
	before := goleak.IgnoreCurrent()
	r, stop := c.watcher(t, nil)
	r.synced(t, api.Kinds()...)
	stop()
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}

func TestRunReturnsWhileTheAPIServerIsAway(t *testing.T) {
	c := needCluster(t)
	g, config := newGate(t, c.config)
	g.shut()
	r, stop := c.watcher(t, func(o *Options) { o.Config = config })
	state := awaits(t, r, api.SourcesKey(api.KindPods), func(s api.KindState) bool {
		return sourceOf(s, "pods").State == api.SourceStateFailed && sourceOf(s, "workspaces.kaito.sh").State == api.SourceStateFailed
	})
	require.False(t, state.Synced)
	require.NotContains(t, r.history(), "settle pods")
	stop() // fails by itself where it takes too long

	r, _ = c.watcher(t, func(o *Options) { o.Config = config })
	awaits(t, r, api.ClusterKey(), func(s api.ClusterState) bool { return s.Error != "" })
	g.lift(t)
	r.synced(t, api.Kinds()...)
}
