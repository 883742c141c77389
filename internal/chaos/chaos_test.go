package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/bus/bustest"
	"github.com/kubefoundry/kubefoundry/httpapi"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/view"
	"github.com/kubefoundry/kubefoundry/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// duration is how long the faults go on: KUBEFOUNDRY_CHAOS_DURATION, or long enough to meet each of them.
func duration(t *testing.T) time.Duration {
	if s := os.Getenv("KUBEFOUNDRY_CHAOS_DURATION"); s != "" {
		d, err := time.ParseDuration(s)
		require.NoError(t, err)
		return d
	}
	return time.Minute
}

// tombstones is how long the bucket remembers deletions: short, so that followers and clients outstay it.
const tombstones = 4 * time.Second

// path is everything between the API server and the clients.
type path struct {
	server   *httpapi.Server
	recorder *recorder
	base     string
	end      func()
}

func startPath(t *testing.T, cluster *devcluster.Cluster, nats *bustest.Server) *path {
	log := zap.NewNop()
	registryOfMetrics := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(context.Background())
	b, err := bus.Open(ctx, bus.Config{URL: nats.URL(), TombstoneTTL: tombstones}, log, registryOfMetrics)
	require.NoError(t, err)
	v := view.New(view.Options{Retention: tombstones / 2})
	p := &path{recorder: newRecorder(v)}
	p.server, err = httpapi.New(httpapi.Options{View: v, Identity: auth.NewUnchecked(cluster.Config(), "test"), Logger: log, Registry: registryOfMetrics, Stream: httpapi.StreamOptions{
		Bookmark: 100 * time.Millisecond, WriteDeadline: 2 * time.Second, MaxAge: 10 * time.Second,
	}})
	require.NoError(t, err)
	publisher := b.Publisher()
	watcher, err := watch.New(watch.Options{Config: cluster.Config(), Runtimes: registry.All(), Publisher: publisher, Logger: log})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	require.NoError(t, err)
	p.base = "http://" + listener.Addr().String()
	web := httpapi.HTTPServer(p.server.Handler(), log)
	var group errgroup.Group
	group.Go(func() error { return publisher.Run(ctx) })
	group.Go(func() error { return watcher.Run(ctx) })
	group.Go(func() error { return b.Follow(ctx, p.recorder) })
	group.Go(func() error { _ = web.Serve(listener); return nil })
	p.end = func() {
		p.server.Close()
		require.NoError(t, web.Close())
		cancel()
		if err := group.Wait(); err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		b.Close()
	}
	return p
}

// TestNothingIsLost changes objects at random while NATS restarts, the bucket is lost, the API server is killed, watches
// expire, definitions are revoked, and clients are slow and cut off.
func TestNothingIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster of its own, and a minute")
	}
	started, err := devcluster.Start(t.Context(), devcluster.Options{
		GPUNodes: -1, CPUNodes: -1, Components: []string{devcluster.ControllerManager},
		APIServerArgs: []string{"--min-request-timeout=5"}, // watches end after 5 to 10 s
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, started.Stop()) }()
	cluster := newCluster(t, started)
	for i := range 4 {
		_, err := cluster.kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i)}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	nats := bustest.Start(t)
	p := startPath(t, started, nats)
	defer p.end()

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	scopes := []view.Scope{
		{},
		{Namespace: namespace(0)},
		{Kinds: []api.Kind{api.KindDeployments}},
		{Kinds: []api.Kind{api.KindPods, api.KindNodes}, Namespace: namespace(1)},
		{Kinds: []api.Kind{api.KindCapacity}},
		{},
		{Kinds: []api.Kind{api.KindDeployments, api.KindPods}},
		{Namespace: namespace(2)},
	}
	clients := make([]*client, len(scopes))
	for i, scope := range scopes {
		scope.Sight = api.Everything()
		c := &client{scope: scope, state: streamclient.NewState(), recorder: p.recorder}
		clients[i] = c
		running.Go(func() {
			if err := c.run(ctx, p.base); err != nil && !errors.Is(err, context.Canceled) {
				c.violation("the stream ended: %v", err)
			}
		})
	}

	seed := uint64(time.Now().UnixNano())
	chance := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chance, not a secret
	t.Logf("seed %d", seed)
	faults := []struct {
		name string
		do   func()
	}{
		{"NATS restarts", func() { // several: what a follower meets depends on how far the publisher is with the new bucket
			for range 8 {
				nats.Restart()
				time.Sleep(time.Duration(100+chance.IntN(500)) * time.Millisecond)
			}
		}},
		{"bucket re-created", func() { require.NoError(t, nats.RecreateBucket(ctx, "kubefoundry")) }},
		{"bucket deleted", func() { require.NoError(t, nats.DeleteBucket(ctx, "kubefoundry")) }},
		{"follower disconnected", func() { nats.Disconnect(bustest.Follower) }},
		{"publisher disconnected", func() { nats.Disconnect(bustest.Publisher) }},
		{"follower cut off longer than tombstones are kept", func() {
			nats.Cut(bustest.Follower)
			time.Sleep(2 * tombstones)
			nats.Mend(bustest.Follower)
		}},
		{"API server killed", func() { require.NoError(t, started.RestartAPIServer(ctx)) }},
		{"old revisions compacted", func() { _, err := started.Compact(ctx); require.NoError(t, err) }},
		{"definition revoked", func() {
			for _, c := range clients {
				c.whole.Store(false) // it is read anew
			}
			name := kinds()[chance.IntN(3)].crd
			cluster.revoke(t, name)
			time.Sleep(time.Duration(chance.IntN(1000)) * time.Millisecond)
			require.NoError(t, cluster.Define(ctx, name))
		}},
		{"nothing", func() { time.Sleep(time.Second) }},
	}
	met := map[string]int{}
	changes := 0
	for round, began := 0, time.Now(); time.Since(began) < duration(t) || round < len(faults); round++ {
		writing, stop := context.WithCancel(ctx)
		var writers sync.WaitGroup
		from := changes
		for w := range 3 {
			own := rand.New(rand.NewPCG(seed, uint64(round*10+w+1))) //nolint:gosec // chance, not a secret
			writers.Go(func() {
				for i := 0; writing.Err() == nil; i++ {
					cluster.write(writing, own, from+3*i+w)
				}
			})
		}
		writers.Go(func() {
			own := rand.New(rand.NewPCG(seed, uint64(round*10))) //nolint:gosec // chance, not a secret
			for writing.Err() == nil {
				time.Sleep(time.Duration(own.IntN(100)) * time.Millisecond)
				c := clients[own.IntN(len(clients))]
				if own.IntN(3) == 0 {
					c.slow.Store(own.IntN(2) == 0)
				} else {
					c.cut()
				}
			}
		})
		changes += 100_000
		fault := faults[round%len(faults)]
		met[fault.name]++
		time.Sleep(time.Duration(200+chance.IntN(800)) * time.Millisecond)
		fault.do()
		time.Sleep(time.Duration(chance.IntN(800)) * time.Millisecond)
		stop()
		writers.Wait()
		for _, c := range clients {
			c.slow.Store(false)
		}
		quiet := time.Now()
		converge(t, fault.name, cluster, clients)
		for _, c := range clients {
			c.whole.Store(true)
		}
		t.Logf("%s: whole again after %s", fault.name, time.Since(quiet).Round(time.Millisecond))
	}
	checks, resets := 0, 0
	for i, c := range clients {
		c.mu.Lock()
		require.Empty(t, c.violations, "client %d with %v", i, c.scope)
		require.Positive(t, c.checks, "client %d was never told that it is synced", i)
		checks += c.checks
		c.mu.Unlock()
		resets += c.state.Resets()
	}
	t.Logf("faults %v; %d checks of %d clients, %d resets", met, checks, len(clients), resets)
}

// converge waits until every client holds what the cluster does.
func converge(t *testing.T, fault string, cluster *cluster, clients []*client) {
	t.Helper()
	var wrong string
	deadline := time.Now().Add(90 * time.Second)
	for time.Now().Before(deadline) {
		truth, err := cluster.truth(t.Context())
		if err != nil {
			wrong = err.Error()
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if wrong = disagreement(truth, clients); wrong == "" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("not converged after %s: %s", fault, wrong)
}

func disagreement(truth map[api.Key]string, clients []*client) string {
	for i, c := range clients {
		expected := 0
		for key, want := range truth {
			if !c.scope.Includes(key.Cell()) {
				continue
			}
			expected++
			document, ok := c.state.Get(key.Kind, key.ID)
			if !ok {
				return fmt.Sprintf("client %d misses %v", i, key)
			}
			if have := mark(key.Kind, document); have != want {
				return fmt.Sprintf("client %d has %q for %v, the cluster %q", i, have, key, want)
			}
		}
		held := 0
		for _, d := range c.state.Documents() {
			switch d.Kind {
			case api.KindDeployments, api.KindPods, api.KindNodes:
				held++
			}
		}
		if held != expected {
			return fmt.Sprintf("client %d holds %d documents, the cluster %d", i, held, expected)
		}
		for kind, state := range c.state.Kinds() {
			if !state.Synced || state.Error != "" {
				return fmt.Sprintf("client %d was told that %s are not synced: %s", i, kind, state.Error)
			}
		}
	}
	return ""
}
