package tenancy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// What the load test does, and what it allows.
const (
	loadCallers  = 20
	loadStreams  = 10 // of each
	loadRequests = 50 // of each
	loadTime     = 65 * time.Second
)

// TestWhatIdentityCostsTheAPIServer: many requests and streams of few callers, all new and all at once, cost one TokenReview
// for each caller and one SubjectAccessReview for each caller, right and namespace; after that, each is asked again once in 30 s.
//
// The bound over time: an answer that was asked for at t is asked again at t+30 s at the earliest, so within T after the first
// there are at most floor(T/30 s) further ones.
func TestWhatIdentityCostsTheAPIServer(t *testing.T) {
	cluster := shared.Cluster(t)
	i := install(t, cluster)
	namespace := devcluster.Namespace(t, cluster)
	role := cluster.Role(t, "load", kubernetesRights()...)
	callers := make([]*devcluster.Identity, loadCallers)
	for n := range callers {
		callers[n] = cluster.ServiceAccount(t, namespace, fmt.Sprintf("load-%d", n))
		cluster.BindIn(t, "default", callers[n].Subject(), role)
	}
	// The questions: each right once for all namespaces, or for the one object, and as nobody here has a right everywhere, each
	// namespaced one once more for each namespace where a document lies that it is needed for.
	everybody := cluster.ServiceAccount(t, namespace, "load-all")
	cluster.Bind(t, everybody.Subject(), cluster.Role(t, "load-all", kubernetesRights()...))
	resources := map[string]auth.Resource{}
	for _, runtime := range registry.All() {
		info := runtime.Info()
		resources[info.ID] = auth.Resource{Group: info.Resource.Group, Resource: info.Resource.Plural}
	}
	wide := map[auth.Right]struct{}{}
	for _, rights := range auth.RightsFor(resources, deploy.Namespace) {
		for _, right := range rights {
			wide[right] = struct{}{}
		}
	}
	questions := map[string]struct{}{}
	for _, d := range documents(t, i, everybody) {
		namespace, rest, _ := strings.Cut(d.ID, "/")
		questions["pods "+namespace] = struct{}{}
		if d.Kind == api.KindDeployments {
			runtime, _, _ := strings.Cut(rest, "/")
			questions[runtime+" "+namespace] = struct{}{}
		}
	}
	require.NotEmpty(t, questions)
	perCaller := len(wide) + len(questions)

	began := time.Now()
	tokens, rights := cluster.AuthReviews(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clients := make([]*http.Client, loadCallers)
	var streams, requests sync.WaitGroup
	live := make(chan struct{}, 10*loadCallers*loadStreams)
	start := make(chan struct{})
	for n, who := range callers {
		clients[n] = i.client()
		clients[n].Transport.(*http.Transport).ForceAttemptHTTP2 = n%2 == 0 //nolint:forcetypeassert // of client
		header := http.Header{"Authorization": {"Bearer " + who.Config().BearerToken}}
		for range loadStreams {
			streams.Go(func() {
				<-start
				err := (&streamclient.Client{URL: i.url + "/api/stream", HTTP: clients[n], Header: header}).Run(ctx, "", func(e streamclient.Event) error {
					switch e.Type {
					case streamclient.EventSynced:
						live <- struct{}{}
					case streamclient.EventBye:
						t.Errorf("a stream of %s ended: %s", who.Name, e.Data)
					}
					return nil
				})
				assert.ErrorIs(t, err, context.Canceled)
			})
		}
		for m := range loadRequests {
			requests.Go(func() {
				<-start
				path := []string{"/api/deployments", "/api/cluster/nodes", "/api/me", "/api/runtimes/status"}[m%4]
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+path, http.NoBody)
				if !assert.NoError(t, err) {
					return
				}
				request.Header = header.Clone()
				response, err := clients[n].Do(request)
				if !assert.NoError(t, err) {
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				assert.NoError(t, response.Body.Close())
				assert.Equal(t, http.StatusOK, response.StatusCode, path)
			})
		}
	}
	close(start)
	requests.Wait()
	for range loadCallers * loadStreams {
		select {
		case <-live:
		case <-time.After(patience):
			t.Fatal("not all streams came up")
		}
	}
	took := time.Since(began)
	tokensAfter, rightsAfter := cluster.AuthReviews(t)
	t.Logf("%d requests and %d streams of %d callers, with %d questions for each, within %s: %d TokenReviews, %d SubjectAccessReviews",
		loadCallers*loadRequests, loadCallers*loadStreams, loadCallers, perCaller, took.Round(time.Millisecond), tokensAfter-tokens, rightsAfter-rights)
	rounds := 1 + int(took/auth.Validity)
	assert.LessOrEqual(t, tokensAfter-tokens, loadCallers*rounds)
	assert.LessOrEqual(t, rightsAfter-rights, loadCallers*perCaller*rounds)
	assert.GreaterOrEqual(t, tokensAfter-tokens, loadCallers, "they were counted")

	time.Sleep(loadTime)
	tokensLater, rightsLater := cluster.AuthReviews(t)
	over := time.Since(began)
	rounds = 1 + int(over/auth.Validity)
	t.Logf("with the streams open for %s: %d TokenReviews of at most %d, %d SubjectAccessReviews of at most %d", over.Round(time.Second),
		tokensLater-tokens, loadCallers*rounds, rightsLater-rights, loadCallers*rounds*perCaller)
	assert.LessOrEqual(t, tokensLater-tokens, loadCallers*rounds)
	assert.LessOrEqual(t, rightsLater-rights, loadCallers*rounds*perCaller)
	assert.Greater(t, tokensLater, tokensAfter, "and are asked again")
	cancel()
	streams.Wait()
	for _, client := range clients {
		client.CloseIdleConnections()
	}
}

// documents are the deployments and pods that somebody is shown.
func documents(t *testing.T, i *installation, who *devcluster.Identity) []streamclient.Document {
	t.Helper()
	state := streamclient.NewState()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := i.client()
	defer client.CloseIdleConnections()
	err := (&streamclient.Client{
		URL: i.url + "/api/stream?kinds=deployments,pods", HTTP: client, State: state,
		Header: http.Header{"Authorization": {"Bearer " + who.Config().BearerToken}},
	}).Run(ctx, "", func(e streamclient.Event) error {
		if e.Type == streamclient.EventSynced {
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, state.Complete())
	return state.Documents()
}
