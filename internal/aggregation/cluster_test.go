package aggregation_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/serving"
)

// outlasts is longer than the minute after which the API server cuts requests that it does not know to be long.
const outlasts = 80 * time.Second

// routes stand for the product's own. They note which paths of the aggregated API were asked for.
type routes struct {
	mu    sync.Mutex
	asked map[string]int
	peers map[string]int
}

func (s *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/stream" {
		s.stream(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.NewEncoder(w).Encode(map[string]string{
		"method": r.Method, "path": r.URL.Path, "uri": r.RequestURI, "query": r.URL.RawQuery, "body": string(body),
		"user": r.Header.Get("X-Remote-User"),
	})
}

// stream sends the number of an event each second.
func (s *routes) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		if _, err := fmt.Fprintf(w, "data: %d %d\n\n", n, time.Now().UnixMilli()); err != nil {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// noting counts what arrives before it is answered.
func (s *routes) noting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.Method+" "+r.URL.Path]++
		for _, peer := range r.TLS.PeerCertificates {
			s.peers[peer.Subject.CommonName]++
		}
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (s *routes) count(request string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[request]
}

// serve starts the server and the aggregated API, with a certificate that it makes itself.
func serve(t *testing.T, c *devcluster.Cluster, kube kubernetes.Interface) *routes {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	const namespace, service = "kubefoundry-system", "kubefoundry"
	_, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	writer, err := dynamic.NewForConfig(c.Config())
	require.NoError(t, err)
	certificate, err := serving.SelfMade(ctx, serving.Options{
		Client: kube, Aggregation: writer, Namespace: namespace, Service: service, Log: zaptest.NewLogger(t),
	})
	require.NoError(t, err)

	listener, err := tls.Listen("tcp", "127.98.7.6:0", certificate.TLSConfig())
	require.NoError(t, err)
	s := &routes{asked: map[string]int{}, peers: map[string]int{}}
	server := &http.Server{
		Handler:           s.noting(aggregation.New("v1.2.3").Handler(s)),
		ReadHeaderTimeout: 10 * time.Second,
	}
	group.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { _ = server.Close() })

	api := devcluster.Aggregated{
		Group: aggregation.Group, Version: aggregation.Version, Namespace: namespace, Service: service, Listener: listener.Addr().String(),
	}
	// Without its CA bundle: the certificate's own loop brings it.
	require.NoError(t, c.Aggregate(ctx, api))
	group.Go(func() { _ = certificate.Run(ctx) })
	require.NoError(t, c.AwaitAggregated(ctx, api))
	return s
}

func TestInACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	// Its own: the API has one name per cluster, and it is in the way of everybody when it does not answer.
	c, err := devcluster.Start(t.Context(), devcluster.Options{
		GPUNodes: -1, CPUNodes: -1, Components: []string{devcluster.ControllerManager},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	config := c.Config()
	config.QPS = -1
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	s := serve(t, c, kube)
	// Until the server answers, the API server complains, and rightly so.
	require.Eventually(t, func() bool { return s.count("GET /openapi/v2") > 0 && s.count("GET /openapi/v3") > 0 }, time.Minute, 10*time.Millisecond)
	before := apiServerLog(t, c)

	t.Run("together", func(t *testing.T) {
		t.Run("discovery", func(t *testing.T) { t.Parallel(); findsTheGroup(t, config) })
		t.Run("objects", func(t *testing.T) { t.Parallel(); readsObjects(t, config) })
		t.Run("proxy", func(t *testing.T) { t.Parallel(); reachesRoutes(t, kube) })
		t.Run("openapi", func(t *testing.T) { t.Parallel(); mergesOpenAPI(t, kube, s) })
		t.Run("namespaces", func(t *testing.T) { t.Parallel(); deletesNamespaces(t, kube) })
		t.Run("stream", func(t *testing.T) { t.Parallel(); outlastsTheTimeout(t, config, proxyPath) })
		t.Run("stream in a namespace", func(t *testing.T) {
			t.Parallel()
			outlastsTheTimeout(t, config, versionPath+"/namespaces/models/backends/default/proxy")
		})
	})

	for line := range strings.Lines(apiServerLog(t, c)[len(before):]) {
		failed := line[0] == 'E' || strings.Contains(line, "rror") || strings.Contains(line, "failed")
		if failed && strings.Contains(line, "kubefoundry") && !strings.Contains(line, "/api/stream") { // which the test cuts
			t.Errorf("the API server said: %s", line)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("asked: %v by %v", s.asked, s.peers)
	assert.Positive(t, s.peers["front-proxy-client"])
	assert.Greater(t, s.asked["GET /openapi/v2"], 1, "once more after a minute, without an error")
}

func apiServerLog(t *testing.T, c *devcluster.Cluster) string {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(filepath.Dir(c.Kubeconfig()), "kube-apiserver.log"))
	require.NoError(t, err)
	return string(log)
}

func findsTheGroup(t *testing.T, config *rest.Config) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, lists, err := client.ServerGroupsAndResources()
		return err == nil && len(lists) > 0 && slices.ContainsFunc(lists, func(l *metav1.APIResourceList) bool {
			return l.GroupVersion == "live.kubefoundry.io/v1alpha1" && len(l.APIResources) == 2
		})
	}, 20*time.Second, 100*time.Millisecond)
	preferred, err := client.ServerPreferredResources()
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(preferred, func(l *metav1.APIResourceList) bool {
		return l.GroupVersion == "live.kubefoundry.io/v1alpha1" && l.APIResources[0].Kind == "Backend"
	}))
	one, err := client.ServerResourcesForGroupVersion("live.kubefoundry.io/v1alpha1")
	require.NoError(t, err)
	assert.Len(t, one.APIResources, 2)
	// Clients that know nothing of aggregated discovery.
	client.UseLegacyDiscovery = true
	_, _, err = client.ServerGroupsAndResources()
	require.NoError(t, err)
}

func readsObjects(t *testing.T, config *rest.Config) {
	backends := schema.GroupVersionResource{Group: aggregation.Group, Version: aggregation.Version, Resource: "backends"}
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	one, err := client.Resource(backends).Get(t.Context(), "default", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"version": "v1.2.3"}, one.Object["status"])
	list, err := client.Resource(backends).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Len(t, list.Items, 1)
	_, err = client.Resource(backends).Get(t.Context(), "other", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	err = client.Resource(backends).Delete(t.Context(), "default", metav1.DeleteOptions{})
	assert.True(t, apierrors.IsMethodNotSupported(err), "%v", err)
	_, err = client.Resource(backends).Watch(t.Context(), metav1.ListOptions{})
	assert.True(t, apierrors.IsMethodNotSupported(err), "%v", err)

	partial, err := metadata.NewForConfig(config)
	require.NoError(t, err)
	metas, err := partial.Resource(backends).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, metas.Items, 1)
	assert.Equal(t, "default", metas.Items[0].Name)

	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	raw, err := kube.RESTClient().Get().AbsPath(backendsPath).SetHeader("Accept", acceptTable).Param("limit", "500").DoRaw(t.Context())
	require.NoError(t, err)
	var table metav1.Table
	require.NoError(t, json.Unmarshal(raw, &table))
	require.Len(t, table.Rows, 1)
	assert.Equal(t, []any{"default", "v1.2.3"}, table.Rows[0].Cells)
}

func reachesRoutes(t *testing.T, kube kubernetes.Interface) {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		for _, prefix := range []string{proxyPath, versionPath + "/namespaces/models/backends/default/proxy"} {
			raw, err := kube.CoreV1().RESTClient().Verb(method).RequestURI(prefix + "/api/x?y=a%2Fb&z=%26").Body([]byte("text")).DoRaw(t.Context())
			require.NoError(t, err, "%s %s", method, prefix)
			var got map[string]string
			require.NoError(t, json.Unmarshal(raw, &got))
			assert.Equal(t, map[string]string{
				"method": method, "path": "/api/x", "uri": "/api/x?y=a%2Fb&z=%26", "query": "y=a%2Fb&z=%26", "body": "text",
				"user": "kubernetes-admin",
			}, got)
		}
	}
	err := kube.CoreV1().RESTClient().Get().RequestURI(proxyPath).Do(t.Context()).Error()
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	assert.ErrorContains(t, err, "add the path of one")
}

func mergesOpenAPI(t *testing.T, kube kubernetes.Interface, s *routes) {
	require.Eventually(t, func() bool {
		v2, err := kube.Discovery().OpenAPISchema()
		return err == nil && strings.Contains(v2.String(), "io.kubefoundry.live.v1alpha1.Backend")
	}, time.Minute, time.Second, "version 2 is merged")
	var three openapi.GroupVersion
	require.Eventually(t, func() bool {
		paths, err := kube.Discovery().OpenAPIV3().Paths()
		three = paths["apis/live.kubefoundry.io/v1alpha1"]
		return err == nil && three != nil
	}, time.Minute, time.Second, "version 3 is there")
	for _, form := range []string{"application/json", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"} {
		described, err := three.Schema(form)
		require.NoError(t, err, form)
		assert.Contains(t, string(described), "io.kubefoundry.live.v1alpha1.BackendList", form)
	}
	assert.Positive(t, s.count("GET /openapi/v2"))
	assert.Positive(t, s.count("GET /openapi/v3"))
}

func deletesNamespaces(t *testing.T, kube kubernetes.Interface) {
	namespaces := kube.CoreV1().Namespaces()
	made, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "goes-"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = kube.CoreV1().ConfigMaps(made.Name).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, namespaces.Delete(t.Context(), made.Name, metav1.DeleteOptions{}))
	assert.Eventually(t, func() bool {
		_, err := namespaces.Get(t.Context(), made.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, 30*time.Second, 100*time.Millisecond)
}

// outlastsTheTimeout reads a stream for longer than the API server lets an ordinary request live. Each event arrives when
// it is sent, not when some buffer is full.
func outlastsTheTimeout(t *testing.T, config *rest.Config, prefix string) {
	transport, err := rest.TransportFor(config)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), outlasts)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+prefix+"/api/stream", nil)
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	events := 0
	var slowest time.Duration
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var n, sent int64
		if count, _ := fmt.Sscanf(lines.Text(), "data: %d %d", &n, &sent); count < 2 {
			continue
		}
		assert.EqualValues(t, events, n)
		events++
		slowest = max(slowest, time.Since(time.UnixMilli(sent)))
	}
	assert.ErrorIs(t, lines.Err(), context.DeadlineExceeded, "cut by the test alone")
	assert.Greater(t, events, 75)
	assert.Less(t, slowest, 500*time.Millisecond)
	t.Logf("%d events, the slowest after %s", events, slowest)
}
