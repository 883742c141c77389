package deploying

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/httpapi"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/view"
	"github.com/kubefoundry/kubefoundry/watch"
)

const patience = 60 * time.Second

// rig is the whole way: API server, watch, bus, view, HTTP API.
type rig struct {
	t       *testing.T
	cluster *devcluster.Cluster
	dynamic dynamic.Interface
	core    kubernetes.Interface
	url     string
	client  *http.Client
	away    atomic.Bool // callers are led to an API server that does not answer
}

// identity leads callers astray when it is told to.
type identity struct {
	*auth.Delegated
	rig *rig
}

func (i identity) Config(c *auth.Caller) *rest.Config {
	config := i.Delegated.Config(c)
	if i.rig.away.Load() {
		config.Host = "https://127.0.0.1:1"
	}
	return config
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t, cluster: shared.Cluster(t)}
	config := g.cluster.Config()
	config.QPS = -1
	var err error
	g.dynamic, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	g.core, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	g.define()

	log := zap.NewNop()
	metrics := prometheus.NewRegistry()
	b, err := bus.Open(t.Context(), bus.Config{}, log, metrics)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	documents := view.New(view.Options{})
	resources := map[string]auth.Resource{}
	for _, rt := range registry.All() {
		info := rt.Info()
		resources[info.ID] = auth.Resource{Group: info.Resource.Group, Resource: info.Resource.Plural}
	}
	delegated, err := auth.NewDelegated(auth.Options{Config: config, Rights: auth.RightsFor(resources, "kubefoundry-system"), Documents: documents, Logger: log})
	require.NoError(t, err)
	server, err := httpapi.New(httpapi.Options{
		View: documents, Identity: identity{delegated, g}, Namespace: "kubefoundry-system", Logger: log, Registry: metrics,
		Stream:  httpapi.StreamOptions{},
		MinGPUs: func(model string) (int, bool) { return 4, model == "org/large" },
	})
	require.NoError(t, err)
	publisher := b.Publisher()
	watcher, err := watch.New(watch.Options{Config: config, Runtimes: registry.All(), Publisher: publisher, Logger: log, Registerer: metrics})
	require.NoError(t, err)

	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	require.NoError(t, err)
	g.url = "http://" + listener.Addr().String()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	g.client = &http.Client{Transport: transport}
	web := httpapi.HTTPServer(server.Handler(), log)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, run := range []func(context.Context) error{
		func(ctx context.Context) error { return b.Follow(ctx, documents) }, publisher.Run, watcher.Run, delegated.Run,
		func(context.Context) error { return web.Serve(listener) },
	} {
		group.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
		_ = web.Close()
		cancel()
		group.Wait()
	})
	require.Eventually(t, func() bool {
		r, err := g.client.Get(g.url + "/readyz") //nolint:noctx // of a test
		if err != nil {
			return false
		}
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.StatusCode == http.StatusOK
	}, patience, 20*time.Millisecond)
	return g
}

// define brings the runtimes' definitions.
func (g *rig) define() {
	g.t.Helper()
	folder := os.Getenv("KUBEFOUNDRY_CRDS")
	if folder == "" {
		for _, rt := range registry.All() {
			require.NoError(g.t, g.cluster.Define(g.t.Context(), rt.Info().Resource.CRD()))
		}
		return
	}
	for _, rt := range registry.All() {
		resource := rt.Info().Resource
		text, err := os.ReadFile(filepath.Join(folder, resource.Group+"_"+resource.Plural+".yaml"))
		require.NoError(g.t, err)
		definition := &unstructured.Unstructured{}
		require.NoError(g.t, yaml.Unmarshal(text, &definition.Object))
		unstructured.RemoveNestedField(definition.Object, "status")
		_, err = g.dynamic.Resource(devcluster.Definitions()).Apply(g.t.Context(), definition.GetName(), definition, metav1.ApplyOptions{FieldManager: "test", Force: true})
		require.NoError(g.t, err)
		served := schema.GroupVersionResource{Group: resource.Group, Version: resource.Versions[0], Resource: resource.Plural}
		require.Eventually(g.t, func() bool {
			_, err := g.dynamic.Resource(served).List(g.t.Context(), metav1.ListOptions{Limit: 1})
			return err == nil
		}, patience, 50*time.Millisecond)
	}
}

// Rights.
var (
	all = []string{"get", "list", "watch", "create", "patch", "update", "delete"}
	see = []string{"get", "list", "watch"}
)

func crs(verbs ...string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"kaito.sh"}, Resources: []string{"workspaces"}, Verbs: verbs},
		{APIGroups: []string{"ray.io"}, Resources: []string{"rayservices"}, Verbs: verbs},
		{APIGroups: []string{"nvidia.com"}, Resources: []string{"dynamographdeployments"}, Verbs: verbs},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: see},
	}
}

func companions(verbs ...string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"services", "persistentvolumeclaims", "configmaps"}, Verbs: verbs}}
}

// person is somebody with rights in a namespace.
type person struct {
	*rig
	namespace string
	token     string
	user      string
}

func (g *rig) person(t *testing.T, namespace, name string, rules ...rbacv1.PolicyRule) person {
	t.Helper()
	who := g.cluster.ServiceAccount(t, namespace, name)
	g.cluster.BindIn(t, namespace, who.Subject(), g.cluster.Role(t, name, rules...))
	return person{g, namespace, who.Config().BearerToken, who.Name}
}

// ask sends a request and reads its answer into out, if the status is the one that is wanted.
func (p person) ask(t require.TestingT, method, path string, body any, status int, out any) {
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(t, err)
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, p.url+path, content) //nolint:noctx // of a test
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, status, answer.StatusCode, "%s %s: %s", method, path, b)
	require.NoError(t, json.Unmarshal(b, out), "%s", b)
}

// refused sends a request that has to fail, and returns the error.
func (p person) refused(t require.TestingT, method, path string, body any, status int, code api.ErrorCode) api.Error {
	var e api.ErrorBody
	p.ask(t, method, path, body, status, &e)
	require.Equal(t, code, e.Error.Code, e.Error.Message)
	require.NotEmpty(t, e.Error.Message)
	return e.Error
}

func (p person) path(name, rest string) string {
	return "/api/deployments/" + name + rest + "?namespace=" + p.namespace
}

// follow keeps what the stream says of deployments in the namespace, until the test ends.
func (p person) follow(t *testing.T) func() map[string]api.Deployment {
	t.Helper()
	state := streamclient.NewState()
	client := streamclient.Client{
		URL: p.url + "/api/stream?kinds=deployments&namespace=" + p.namespace, HTTP: p.client, State: state,
		Header: http.Header{"Authorization": {"Bearer " + p.token}},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Run(ctx, "", func(streamclient.Event) error { return nil })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() map[string]api.Deployment {
		held := map[string]api.Deployment{}
		for _, document := range state.Documents() {
			var d api.Deployment
			if json.Unmarshal(document.JSON, &d) == nil {
				held[d.Id] = d
			}
		}
		return held
	}
}
