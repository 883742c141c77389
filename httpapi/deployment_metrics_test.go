package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

var (
	readingMetrics = append(slices.Clone(seeing), rule("", "services/proxy", "get"))
	readingPods    = append(slices.Clone(readingMetrics), rule("", "pods/proxy", "get"))
)

// serving is a workspace whose servers answer, and its documents.
func (k *live) serving(t *testing.T, a *acting, namespace string) api.Deployment {
	t.Helper()
	d := k.workspace(t, namespace, "llama")
	d.Engine, d.Endpoint = api.EngineLlamacpp, &api.Endpoint{Service: "llama", Port: 80}
	a.put(d)
	var p *corev1.Pod
	require.Eventually(t, func() bool {
		pods, err := k.core.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "kaito.sh/workspace=llama"})
		if err != nil || len(pods.Items) != 1 {
			return false
		}
		p = &pods.Items[0]
		_, err = k.core.CoreV1().Services(namespace).ProxyGet("http", "llama", "80", "metrics", nil).DoRaw(t.Context())
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	a.put(pod(namespace, p.Name, d.Id))
	return d
}

func (a *acting) metricsAs(t *testing.T, who *devcluster.Identity, query string) api.DeploymentMetrics {
	t.Helper()
	var m api.DeploymentMetrics
	a.as(who, http.MethodGet, "/api/deployments/llama/metrics"+query).into(t, &m)
	return m
}

func (k *live) scrapes(t *testing.T) int { return k.Requests(t, "services", "GET") }

func testMetrics(t *testing.T, k *live) {
	a := k.serve(t, impersonator...)
	namespace := devcluster.Namespace(t, k.Cluster)
	viewer, reader := k.somebody(t, namespace, "viewer", seeing), k.somebody(t, namespace, "reader", readingMetrics)
	admin, stranger := k.somebody(t, namespace, "admin", readingPods), k.ServiceAccount(t, namespace, "stranger")
	d := k.serving(t, a, namespace)

	m := a.metricsAs(t, reader, "")
	require.True(t, m.Available, m.Error)
	require.True(t, slices.ContainsFunc(m.Metrics, func(s api.MetricSample) bool { return s.Name == "llamacpp:requests_processing" }))
	require.NotNil(t, m.Derived.RequestsRunning)
	require.NotNil(t, m.Derived.KvCacheUsage)
	require.Equal(t, 1, m.Derived.Targets)
	require.Zero(t, m.Derived.Window, "one collection is no rate")
	require.Empty(t, a.metricsAs(t, reader, "?brief=true").Metrics)

	// A hundred viewers are one.
	before := k.scrapes(t)
	var viewers sync.WaitGroup
	for range 100 {
		viewers.Go(func() { require.Equal(t, m, a.metricsAs(t, reader, "")) })
	}
	viewers.Wait()
	require.Equal(t, before, k.scrapes(t), "what is fresh is shared")

	// Not with those who may not, though somebody else watches.
	require.True(t, a.metricsAs(t, admin, "").Available)
	path := "/api/deployments/llama/metrics"
	refused := a.as(viewer, http.MethodGet, path).failed(t, 403, api.ErrorCodeForbidden)
	require.Contains(t, refused, "cannot read the metrics of deployment "+namespace+"/llama: ")
	require.Contains(t, refused, fmt.Sprintf(`User %q cannot get resource "services/proxy" "http:llama:80"`, viewer.Name))
	a.as(viewer, http.MethodGet, path+"?follow=true").failed(t, 403, api.ErrorCodeForbidden)
	a.as(stranger, http.MethodGet, path).failed(t, 404, api.ErrorCodeNotFound)
	a.as(reader, http.MethodGet, "/api/deployments/none/metrics").failed(t, 404, api.ErrorCodeNotFound)

	// The other way in.
	jane := user{name: "jane@" + namespace, groups: []string{"system:authenticated"}}
	k.BindIn(t, namespace, devcluster.User(jane.name), k.Role(t, "reader", readingMetrics...))
	var through api.DeploymentMetrics
	a.front(t, k)(jane, http.MethodGet, path).into(t, &through)
	require.True(t, through.Available)

	// What is not there is told from what may not be seen.
	d.Endpoint = nil
	a.put(d)
	none := a.metricsAs(t, reader, "")
	require.False(t, none.Available)
	require.Equal(t, api.MetricsUnavailableNoService, none.Reason)
	require.NotNil(t, none.Metrics)
}

// watchMetrics follows.
func (a *acting) watchMetrics(t *testing.T, who *devcluster.Identity) (next func() streamclient.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/api/deployments/llama/metrics?follow=true", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+who.Config().BearerToken)
	response, err := a.client.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { cancel(); response.Body.Close() })
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	reader := streamclient.NewReader(response.Body, "")
	return func() streamclient.Event {
		e, err := reader.Next()
		require.NoError(t, err)
		return e
	}
}

func testFollowMetrics(t *testing.T, k *live) {
	a := k.serve(t)
	a.server.collector.Interval, a.server.proxyRights.Believed = 300*time.Millisecond, 100*time.Millisecond
	namespace := devcluster.Namespace(t, k.Cluster)
	reader, leaver := k.somebody(t, namespace, "reader", readingMetrics), k.somebody(t, namespace, "leaver", seeing)
	binding := k.BindIn(t, namespace, leaver.Subject(), k.Role(t, "metrics", rule("", "services/proxy", "get")))
	d := k.serving(t, a, namespace)

	// Ten viewers cost what one does, and have the same.
	before := k.scrapes(t)
	var viewers sync.WaitGroup
	var seen [10][]string
	began := time.Now()
	for i := range seen {
		next := a.watchMetrics(t, reader)
		viewers.Go(func() {
			for range 6 {
				e := next()
				require.Equal(t, "metrics", e.Type)
				seen[i] = append(seen[i], string(e.Data))
			}
		})
	}
	viewers.Wait()
	most := int(time.Since(began)/(300*time.Millisecond)) + 2
	require.LessOrEqual(t, k.scrapes(t)-before, most)
	var last api.DeploymentMetrics
	require.NoError(t, json.Unmarshal([]byte(seen[0][5]), &last))
	require.Positive(t, last.Derived.Window)
	require.NotNil(t, last.Derived.GenerationTokensPerSecond)
	for _, one := range seen[1:] {
		require.True(t, slices.ContainsFunc(one, func(data string) bool { return slices.Contains(seen[0], data) }))
	}

	leaving, staying := a.watchMetrics(t, leaver), a.watchMetrics(t, reader)
	require.Equal(t, "metrics", leaving().Type)
	binding.Revoke(t)
	for {
		if e := leaving(); e.Type == "bye" {
			require.Contains(t, string(e.Data), string(api.ByeEventReasonRightsChanged))
			break
		}
	}

	d.Endpoint = &api.Endpoint{Service: "llama", Port: 81}
	a.put(d)
	for m := (api.DeploymentMetrics{Available: true}); m.Available; {
		m = api.DeploymentMetrics{}
		require.NoError(t, json.Unmarshal(staying().Data, &m))
		require.True(t, m.Available || m.Reason == api.MetricsUnavailableNoService, "%+v", m)
	}

	a.remove(api.DeploymentKey(d.Namespace, d.Provider, d.Name))
	for {
		if e := staying(); e.Type == "bye" {
			require.Contains(t, string(e.Data), string(api.ByeEventReasonDeleted))
			break
		}
	}
	after := k.scrapes(t)
	require.Never(t, func() bool { return k.scrapes(t) > after+1 }, 2*time.Second, 300*time.Millisecond, "nobody looks")
	require.Zero(t, a.metric("kubefoundry_stream_rejected_total"))
	require.NotContains(t, strings.Join(seen[0], ""), reader.Config().BearerToken)
}
