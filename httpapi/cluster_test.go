package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/view"
)

// cluster fills a view as a follower of the bus does, and serves it.
type cluster struct {
	t        testing.TB
	view     *view.View
	epoch    string
	revision uint64
	at       time.Time // when what is applied next was stored; now where zero

	server   *Server
	web      *http.Server
	tune     func(*http.Server) // before it serves
	registry *prometheus.Registry
	client   *http.Client
	address  string
	url      string
}

// serve serves an empty view on loopback until the test ends.
func serve(t testing.TB, options ...func(*cluster, *Options)) *cluster {
	t.Helper()
	c := &cluster{t: t, view: view.New(view.Options{}), epoch: "e1", registry: prometheus.NewRegistry()}
	o := Options{
		View: c.view, Identity: auth.NewUnchecked(away(), "test"), Logger: zap.NewNop(), Registry: c.registry, Namespace: "kubefoundry-system", ClusterName: "test",
		Version: api.Version{Version: "v1.2.3", GitCommit: "abc", BuildTime: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, option := range options {
		option(c, &o)
	}
	o.View = c.view
	var err error
	c.server, err = New(o)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	require.NoError(t, err)
	c.address = listener.Addr().String()
	c.url = "http://" + c.address
	c.web = HTTPServer(c.server.Handler(), zap.NewNop())
	if c.tune != nil {
		c.tune(c.web)
	}
	transport := &http.Transport{DisableCompression: true}
	c.client = &http.Client{Transport: transport}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.web.Serve(listener)
	}()
	t.Cleanup(func() {
		c.server.Close()
		transport.CloseIdleConnections()
		require.NoError(t, c.web.Close())
		<-done
	})
	return c
}

// away is a cluster that does not answer.
func away() *rest.Config { return &rest.Config{Host: "http://127.0.0.1:1"} }

func stream(set func(*StreamOptions)) func(*cluster, *Options) {
	return func(_ *cluster, o *Options) { set(&o.Stream) }
}

func retention(d time.Duration) func(*cluster, *Options) {
	return func(c *cluster, _ *Options) { c.view = view.New(view.Options{Retention: d}) }
}

// change is one that the bus would bring.
type change struct {
	key api.Key
	doc any // nil deletes
}

// apply takes changes in as one batch.
func (c *cluster) apply(changes ...change) {
	c.t.Helper()
	now := c.at
	if now.IsZero() {
		now = time.Now()
	}
	entries := make([]api.Entry, len(changes))
	for i, one := range changes {
		c.revision++
		entries[i] = api.Entry{Key: one.key, Revision: c.revision, Time: now}
		if one.doc != nil {
			b, err := json.Marshal(one.doc)
			require.NoError(c.t, err)
			entries[i].JSON = b
		}
	}
	c.view.Apply(c.epoch, entries, true)
}

func (c *cluster) put(documents ...any) {
	c.t.Helper()
	changes := make([]change, len(documents))
	for i, doc := range documents {
		changes[i] = change{keyOf(doc), doc}
	}
	c.apply(changes...)
}

func (c *cluster) remove(keys ...api.Key) {
	c.t.Helper()
	changes := make([]change, len(keys))
	for i, key := range keys {
		changes[i].key = key
	}
	c.apply(changes...)
}

func (c *cluster) beat() { c.apply(change{api.PublisherKey(), api.PublisherState{ID: "p"}}) }

// synced says of all kinds, or of some, that everything there is was read.
func (c *cluster) synced(kinds ...api.Kind) {
	if len(kinds) == 0 {
		kinds = api.Kinds()
	}
	for _, kind := range kinds {
		c.state(kind, api.KindState{Synced: true})
	}
}

func (c *cluster) state(kind api.Kind, state api.KindState) {
	c.apply(change{api.SourcesKey(kind), state})
}

// fill makes a cluster that has something of everything.
func (c *cluster) fill() *cluster {
	c.beat()
	c.synced()
	c.apply(change{api.ClusterKey(), api.ClusterState{Connected: true, KubernetesVersion: "v1.34.1"}})
	full := deployment("ml", "dynamo", "qwen")
	full.Mode = api.ModeDisaggregated
	full.PrefillReplicas, full.DecodeReplicas = &api.RoleReplicas{Desired: 1}, &api.RoleReplicas{Desired: 2, Ready: 1}
	full.Roles = []api.Role{{Name: "prefill", Desired: 1, GpusPerReplica: 2}}
	full.Endpoint = &api.Endpoint{Service: "qwen-frontend", Port: 8000}
	full.Phase, full.Message = api.PhasePending, "0/3 nodes are available"
	full.Reasons = []api.Reason{{Reason: "FailedScheduling", Message: "0/3 nodes are available", IsResourceConstraint: true, ResourceType: api.ReasonResourceTypeGpu, CanAutoscalerHelp: true, Pods: 1}}
	full.Conditions = []api.Condition{{Type: "Ready", Status: "False", Reason: "Waiting"}}
	full.Pods = []api.PodSummary{{Name: "qwen-0", Phase: api.PodPhasePending, Reason: "Unschedulable"}}
	c.put(full, deployment("ml", "kaito", "llama"), deployment("ml", "kuberay", "llama"), deployment("chat", "kaito", "phi"),
		pod("ml", "qwen-0", full.Id), pod("ml", "llama-0", "ml/kaito/llama"), pod("ml", "llama-1", "ml/kaito/llama"), pod("ml", "ray-0", "ml/kuberay/llama"),
		node("gpu-a", 8, 5), node("gpu-b", 4, 0), node("cpu", 0, 0),
		api.Runtime{Id: "dynamo", Name: "NVIDIA Dynamo", Message: "not installed", DefaultNamespace: "dynamo-system", Crd: api.Crd{Name: "dynamographdeployments.nvidia.com", ServedVersions: []string{}}},
		api.Runtime{
			Id: "kaito", Name: "KAITO", Installed: true, Healthy: true, Message: "works", Version: "0.9.0", DefaultNamespace: "kaito-workspace",
			Crd:      api.Crd{Name: "workspaces.kaito.sh", ServedVersions: []string{"v1beta1"}, Version: "v1beta1"},
			Operator: &api.Operator{Namespace: "kaito-system", Name: "kaito", Desired: 1, Available: 1},
		},
		capacity(12, 5), pools(12, 5),
		api.Autoscaler{
			Detection: api.AutoscalerDetection{Type: api.AutoscalerDetectionTypeClusterAutoscaler, Detected: true, Healthy: true, Message: "works"},
			Status:    &api.AutoscalerStatus{Health: "Healthy", NodeGroups: []api.NodeGroup{{Name: "gpu", MinSize: 0, MaxSize: 4, CurrentSize: 2}}},
		})
	return c
}

// keyOf is where a document belongs.
func keyOf(doc any) api.Key {
	switch d := doc.(type) {
	case api.Deployment:
		return api.DeploymentKey(d.Namespace, d.Provider, d.Name)
	case api.Pod:
		return api.PodKey(d.Namespace, d.Name)
	case api.Node:
		return api.NodeKey(d.Name)
	case api.Runtime:
		return api.RuntimeKey(d.Id)
	case api.GpuTotals:
		return api.CapacityKey()
	case api.NodePools:
		return api.PoolsKey()
	case api.Autoscaler:
		return api.AutoscalerKey()
	}
	panic(fmt.Sprintf("%T is no document", doc))
}

var dawn = time.Date(2026, 5, 1, 6, 0, 0, 0, time.UTC)

func deployment(namespace, runtime, name string) api.Deployment {
	return api.Deployment{
		Id: api.DeploymentKey(namespace, runtime, name).ID, Namespace: namespace, Provider: runtime, Name: name,
		ModelId: "org/" + name, ServedModelName: name, Engine: api.EngineVllm, Mode: api.ModeAggregated, Phase: api.PhaseRunning,
		Replicas: api.Replicas{Desired: 1, Ready: 1, Available: 1}, Roles: []api.Role{}, Conditions: []api.Condition{}, Reasons: []api.Reason{},
		Pods: []api.PodSummary{}, Gpus: 1, CreatedAt: dawn, UpdatedAt: dawn, FrontendService: name + ":80",
		Resource: api.ResourceRef{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces", Kind: "Workspace", Uid: "4d1c"},
	}
}

func pod(namespace, name, deployment string) api.Pod {
	return api.Pod{
		Id: namespace + "/" + name, Namespace: namespace, Name: name, Deployment: deployment, Phase: api.PodPhaseRunning, Ready: true, Gpus: 1,
		Containers: []api.Container{{Name: "vllm", State: api.ContainerStateRunning, Ready: true}}, CreatedAt: dawn,
	}
}

func node(name string, gpus, allocated int) api.Node {
	return api.Node{Name: name, Ready: true, Schedulable: true, GpuCount: gpus, AllocatedGpus: allocated, AvailableGpus: gpus - allocated, Pool: "default"}
}

func capacity(total, allocated int) api.GpuTotals {
	return api.GpuTotals{
		TotalGpus: total, AllocatedGpus: allocated, AvailableGpus: total - allocated, GpuNodeCount: 2, MaxContiguousAvailable: 4, MaxNodeGpuCapacity: 8,
	}
}

func pools(total, allocated int) api.NodePools {
	return api.NodePools{NodePools: []api.NodePool{{Name: "default", GpuCount: total, NodeCount: 2, AvailableGpus: total - allocated}}}
}

// answer is a response whose body was read.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request. Headers are given as name, value, name, value, …
func (c *cluster) ask(method, path string, header ...string) answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, http.NoBody)
	require.NoError(c.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return c.do(r)
}

func (c *cluster) do(r *http.Request) answer {
	c.t.Helper()
	response, err := c.client.Do(r)
	require.NoError(c.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

func (c *cluster) get(path string, header ...string) answer {
	c.t.Helper()
	return c.ask(http.MethodGet, path, header...)
}

// into decodes an answer of 200.
func (a answer) into(t require.TestingT, to any) {
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.NoError(t, json.Unmarshal([]byte(a.body), to))
}

// failure is the error that an answer holds, which has to be in our shape.
func (a answer) failure(t require.TestingT) api.Error {
	require.GreaterOrEqual(t, a.status, 400, a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"), a.body)
	var body api.ErrorBody
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&body), a.body)
	require.Equal(t, a.status, body.Error.StatusCode)
	require.NotEmpty(t, body.Error.Message)
	require.True(t, body.Error.Code.Valid(), body.Error.Code)
	return body.Error
}

func (c *cluster) deployments(query string) api.DeploymentList {
	c.t.Helper()
	var list api.DeploymentList
	c.get("/api/deployments"+query).into(c.t, &list)
	return list
}

// metric is the sum of a metric over all its labels.
func (c *cluster) metric(name string) float64 {
	c.t.Helper()
	families, err := c.registry.Gather()
	require.NoError(c.t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestMetricsAreWellFormed(t *testing.T) {
	c := serve(t).fill()
	c.get("/api/deployments")
	problems, err := testutil.GatherAndLint(c.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}
