package tenancy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

const (
	// outlasts is longer than the minute after which the API server cuts requests that it does not know to be long.
	outlasts = 80 * time.Second
	// touches is how often something changes meanwhile.
	touches = 2 * time.Second
)

var workspaceObjects = schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"}

// peopled is an installation with people in it: a few of each way to be somebody, with rights in one namespace of two.
type peopled struct {
	*installation
	issuer        *devcluster.Issuer
	open, closed  string // namespaces, of which people see only the first
	objects       dynamic.Interface
	certificate   person // views
	account       person
	token         person
	editors       []person
	reader        person // views, and may send anything to the server
	accountReader *devcluster.Identity
}

// person is somebody as the API server knows them.
type person struct {
	name   string
	groups []string
	config *rest.Config
}

// TestThroughTheAPIServer has one cluster for all that its API server has a part in: who has a certificate, a ServiceAccount
// or a token of an identity provider reaches a stream as themselves, and nobody else does in their name.
func TestThroughTheAPIServer(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster of its own")
	}
	a := installWithPeople(t)
	t.Run("probes cost no review", a.probesCostNoReview)
	t.Run("together", func(t *testing.T) {
		t.Run("streams", func(t *testing.T) { t.Parallel(); a.streams(t) })
		t.Run("a token that expires", func(t *testing.T) { t.Parallel(); a.byeToAnExpiredToken(t) })
		t.Run("deletions", func(t *testing.T) { t.Parallel(); a.deletions(t) })
		t.Run("forged names", func(t *testing.T) { t.Parallel(); a.forgedNames(t) })
		t.Run("the API server's own certificate", func(t *testing.T) { t.Parallel(); a.frontProxy(t) })
	})
	t.Run("another authority", a.anotherAuthority)
	t.Run("another name", a.anotherName)
	t.Run("no token is in the log", func(t *testing.T) {
		log := a.log.String()
		require.Contains(t, log, `"action"`, "it is the server's log")
		for _, who := range append([]person{a.account, a.token}, a.editors...) {
			if token := who.config.BearerToken; token != "" {
				assert.NotContains(t, log, token[strings.LastIndex(token, ".")+1:], "signature of a token of %s", who.name)
			}
		}
	})
}

func installWithPeople(t *testing.T) *peopled {
	t.Helper()
	a := &peopled{issuer: devcluster.StartIssuer(t)}
	cluster, err := devcluster.Start(t.Context(), devcluster.Options{
		GPUNodes: -1, CPUNodes: -1, Components: []string{devcluster.ControllerManager}, APIServerArgs: a.issuer.APIServerArgs(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cluster.Stop()) })
	require.NoError(t, cluster.Define(t.Context(), "workspaces.kaito.sh"))
	a.installation = install(t, cluster)
	a.open, a.closed = devcluster.Namespace(t, cluster), devcluster.Namespace(t, cluster)
	a.objects, err = dynamic.NewForConfig(cluster.Config())
	require.NoError(t, err)

	bound := func(who rbacv1.Subject, role string) { cluster.BindIn(t, a.open, who, role) }
	withToken := func(subject string, groups ...string) person {
		p := person{name: "oidc:" + subject, config: cluster.Bearer(a.issuer.Token(t, subject, groups, time.Hour))}
		for _, group := range groups {
			p.groups = append(p.groups, "oidc:"+group)
		}
		return p
	}
	withCertificate := func(name string, groups ...string) person {
		return person{name, groups, cluster.ClientCertificate(t, name, groups...).Config()}
	}
	account := func(name, role string) (person, *devcluster.Identity) {
		i := cluster.ServiceAccount(t, a.open, name)
		bound(i.Subject(), role)
		return person{i.Name, []string{"system:serviceaccounts", "system:serviceaccounts:" + a.open}, i.Config()}, i
	}
	a.certificate = withCertificate("jane", "ml-team", "devs")
	bound(devcluster.User("jane"), "view")
	a.account, a.accountReader = account("reader", "view")
	a.token = withToken("olga", "ml-team")
	bound(a.issuer.Group("ml-team"), "view")
	a.reader = withCertificate("rita")
	bound(devcluster.User("rita"), "view")
	bound(devcluster.User("rita"), "kubefoundry-user")
	accountEditor, _ := account("editor", "edit")
	a.editors = []person{withCertificate("edna", "editors"), accountEditor, withToken("oscar", "editors")}
	bound(devcluster.User("edna"), "edit")
	bound(a.issuer.User("oscar"), "edit")

	for _, namespace := range []string{a.open, a.closed} {
		a.create(t, namespace, "kept")
	}
	// Rules reach the ClusterRoles view and edit, the issuer's keys the API server, and objects the server, each in its own time.
	for _, who := range append([]person{a.certificate, a.account, a.token, a.reader}, a.editors...) {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			got := a.asks(t, who, http.MethodGet, "/api/deployments")
			require.Equal(c, http.StatusOK, got.status, "%s: %s", who.name, got.body)
			require.Contains(c, got.body, a.open+"/kaito/kept", who.name)
		}, patience, 200*time.Millisecond)
	}
	return a
}

// asks sends a request by way of the API server.
func (a *peopled) asks(t testing.TB, who person, method, path string, header ...string) answer {
	t.Helper()
	client, err := rest.HTTPClientFor(who.config)
	require.NoError(t, err)
	return ask(t.Context(), t, client, method, who.config.Host+aggregation.ProxyPath(a.open)+path, header...)
}

func (a *peopled) create(t *testing.T, namespace, name string) {
	t.Helper()
	_, err := a.objects.Resource(workspaceObjects).Namespace(namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": map[string]any{"name": name},
		"resource": map[string]any{
			"instanceType": "Standard_NC24ads_A100_v4", "count": int64(1),
			"labelSelector": map[string]any{"matchLabels": map[string]any{"apps": name}},
		},
		"inference": map[string]any{"preset": map[string]any{"name": "phi-4-mini-instruct"}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// isThere tells whether an object is, for the administrator.
func (a *peopled) isThere(t *testing.T, name string) bool {
	t.Helper()
	_, err := a.objects.Resource(workspaceObjects).Namespace(a.open).Get(t.Context(), name, metav1.GetOptions{})
	require.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
	return err == nil
}

// isMe holds what the server says of a caller against who they are.
func isMe(t testing.TB, who person, got answer) {
	t.Helper()
	require.Equal(t, http.StatusOK, got.status, "%s: %s", who.name, got.body)
	var me api.Me
	require.NoError(t, json.Unmarshal([]byte(got.body), &me))
	assert.Equal(t, who.name, me.Username)
	assert.Equal(t, api.MeViaAggregation, me.Via)
	assert.ElementsMatch(t, append(slices.Clone(who.groups), "system:authenticated"), me.Groups)
}

// forgery is what a client may add to its requests, in the hope that somebody believes it.
func forgery() []string {
	return []string{
		"X-Remote-User", "kubernetes-admin", "x-remote-user", "system:admin", "X-Remote-Group", "system:masters",
		"X-Remote-Extra-Scopes", "all", "X-Remote-Uid", "1", "Impersonate-Nobody", "x",
	}
}

// probesCostNoReview: discovery and OpenAPI are asked for all the time, by everybody, and say nothing about anybody. Whatever
// a request for them claims is not looked at, and so nobody is asked about it.
func (a *peopled) probesCostNoReview(t *testing.T) {
	version := "/apis/" + aggregation.Group + "/" + aggregation.Version
	probes := []string{
		"/apis", "/apis/" + aggregation.Group, version, version + "/backends", version + "/backends/default", "/openapi/v2", "/openapi/v3",
	}
	var before, reviews int
	require.Eventually(t, func() bool { // what was asked before is still being counted
		last := before
		before, _ = a.cluster.AuthReviews(t)
		return last == before
	}, patience, 500*time.Millisecond)
	for n := range 20 {
		for _, probe := range probes {
			for _, header := range [][]string{nil, {"Authorization", fmt.Sprintf("Bearer made-up-%d", n)}, {"X-Remote-User", "root"}} {
				got := ask(t.Context(), t, a.client(), http.MethodGet, a.url+probe, header...)
				require.Equal(t, http.StatusOK, got.status, "%s: %s", probe, got.body)
				require.NotContains(t, got.body, a.open)
			}
		}
	}
	// What is behind the proxy is not open to them.
	for _, prefix := range []string{aggregation.ProxyPath(""), aggregation.ProxyPath(a.open)} {
		for _, path := range []string{"/api/me", "/api/deployments", "/api/stream", "/metrics"} {
			require.Equal(t, http.StatusUnauthorized, ask(t.Context(), t, a.client(), http.MethodGet, a.url+prefix+path).status, prefix+path)
		}
	}
	time.Sleep(time.Second) // a request counts just after its answer
	reviews, _ = a.cluster.AuthReviews(t)
	require.Equal(t, before, reviews, "token reviews")
}

// streams reads three streams for longer than a minute while somebody works on what they show.
func (a *peopled) streams(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), outlasts)
	defer cancel()
	people := []person{a.certificate, a.account, a.token}
	var all []*followed
	var group sync.WaitGroup
	for _, who := range people {
		f := a.follow(ctx, t, who)
		all = append(all, f)
		group.Go(f.read)
	}
	count := 0
	for tick := time.Tick(touches); ctx.Err() == nil; count++ {
		_, err := a.objects.Resource(workspaceObjects).Namespace(a.open).Patch(t.Context(), "kept", types.MergePatchType,
			fmt.Appendf(nil, `{"resource":{"count":%d}}`, 2+count%7), metav1.PatchOptions{})
		require.NoError(t, err)
		if count%5 == 0 {
			for _, who := range people {
				isMe(t, who, a.asks(t, who, http.MethodGet, "/api/me", forgery()...))
			}
		}
		select {
		case <-tick:
		case <-ctx.Done():
		}
	}
	group.Wait()
	for _, f := range all {
		t.Logf("%s: %v of %d touches; the longest silence was %s, the slowest bookmark took %s; ended by %v", f.who.name, f.seen, count, f.silence, f.lag, f.ended)
		require.ErrorIs(t, f.ended, context.DeadlineExceeded, "cut by the test alone")
		assert.Equal(t, 1, f.seen[streamclient.EventReset], "a stream that was not interrupted")
		assert.GreaterOrEqual(t, f.seen[streamclient.EventBookmark], 4)
		assert.GreaterOrEqual(t, f.seen["touch"], count-2, "what was done in the last moment may be on its way")
		assert.Greater(t, count, 20)
		assert.Less(t, f.silence, 4*touches, "changes come all the time")
		assert.Less(t, f.lag, 2*time.Second, "an event comes when it is sent")
		assert.Empty(t, f.strange, "what lies in a namespace that they may not look into")
		assert.True(t, f.state.Complete())
	}
}

// followed is one stream, and what came of it.
type followed struct {
	who          person
	kept         string // the id of what is worked on
	reader       *streamclient.Reader
	state        *streamclient.State
	seen         map[string]int // events by type, and touches
	strange      []string
	silence, lag time.Duration
	ended        error
}

// follow opens a stream, with everything in the request that may mislead somebody about who it is from.
func (a *peopled) follow(ctx context.Context, t *testing.T, who person) *followed {
	t.Helper()
	client, err := rest.HTTPClientFor(who.config)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, who.config.Host+aggregation.ProxyPath(a.open)+"/api/stream", http.NoBody)
	require.NoError(t, err)
	for header := range slices.Chunk(forgery(), 2) {
		request.Header.Add(header[0], header[1])
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	require.Equal(t, http.StatusOK, response.StatusCode)
	return &followed{
		who: who, kept: a.open + "/kaito/kept", seen: map[string]int{},
		reader: streamclient.NewReader(response.Body, ""), state: streamclient.NewState(),
	}
}

func (f *followed) read() {
	for last := time.Now(); ; last = time.Now() {
		event, err := f.reader.Next()
		if err == nil {
			err = f.state.Apply(event)
		}
		if err != nil {
			f.ended = err
			return
		}
		f.silence = max(f.silence, time.Since(last))
		f.seen[event.Type]++
		switch event.Type {
		case streamclient.EventBookmark:
			if bookmark, err := event.Bookmark(); err == nil {
				f.lag = max(f.lag, time.Since(bookmark.Time))
			}
		case streamclient.EventChanges:
			changes, _ := event.Changes()
			for _, change := range changes {
				switch {
				case change.Id == f.kept:
					f.seen["touch"]++
				case change.Kind == api.KindDeployments || change.Kind == api.KindPods:
					if !strings.HasPrefix(change.Id, strings.TrimSuffix(f.kept, "kaito/kept")) {
						f.strange = append(f.strange, change.Id)
					}
				}
			}
		}
	}
}

// byeToAnExpiredToken: a stream that was opened with a token does not outlive it, although the API server goes on accepting
// for ten seconds what it has accepted once.
func (a *peopled) byeToAnExpiredToken(t *testing.T) {
	const lifetime = 20 * time.Second
	token := a.issuer.Token(t, "olga", []string{"ml-team"}, lifetime)
	expires := time.Now().Add(lifetime).Truncate(time.Second)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/api/stream", http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := a.client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	var last streamclient.Event
	ended := time.AfterFunc(patience, func() { response.Body.Close() })
	defer ended.Stop()
	for reader := streamclient.NewReader(response.Body, ""); ; {
		event, err := reader.Next()
		if err != nil {
			break
		}
		last = event
	}
	late := time.Since(expires)
	require.Equal(t, streamclient.EventBye, last.Type)
	bye, err := last.Bye()
	require.NoError(t, err)
	assert.Equal(t, api.ByeEventReasonTokenExpired, bye.Reason)
	assert.Greater(t, late, -time.Second, "not before its time")
	assert.Less(t, late, 30*time.Second)
	t.Logf("ended %s after the token", late)
	got := ask(t.Context(), t, a.client(), http.MethodGet, a.url+"/api/me", "Authorization", "Bearer "+token)
	assert.Equal(t, http.StatusUnauthorized, got.status, got.body)
}

// deletions are done in the name of who asks for them: the server itself may delete nothing.
func (a *peopled) deletions(t *testing.T) {
	victim := func(n int) string { return fmt.Sprintf("victim-%d", n) }
	path := func(name string) string {
		return "/api/deployments/" + name + "?" + url.Values{"namespace": {a.open}, "runtime": {"kaito"}}.Encode()
	}
	for n := range a.editors {
		a.create(t, a.open, victim(n))
		require.Eventually(t, func() bool {
			return a.asks(t, a.editors[n], http.MethodGet, path(victim(n))).status == http.StatusOK
		}, patience, 100*time.Millisecond)
	}
	for _, who := range []person{a.certificate, a.account, a.token} {
		got := a.asks(t, who, http.MethodDelete, path(victim(0)), forgery()...)
		assert.Equal(t, http.StatusForbidden, got.status, "%s, by the API server: %s", who.name, got.body)
	}
	// Who may send the request is not thereby one who may delete.
	got := a.asks(t, a.reader, http.MethodDelete, path(victim(0)), forgery()...)
	assert.Equal(t, http.StatusForbidden, got.status, got.body)
	assert.Contains(t, got.body, string(api.ErrorCodeForbidden), "by the server")
	assert.Contains(t, got.body, a.reader.name)
	got = ask(t.Context(), t, a.client(), http.MethodDelete, a.url+path(victim(0)), "Authorization", "Bearer "+a.account.config.BearerToken)
	assert.Equal(t, http.StatusForbidden, got.status, got.body)
	for n := range a.editors {
		require.True(t, a.isThere(t, victim(n)))
	}
	for n, who := range a.editors {
		got := a.asks(t, who, http.MethodDelete, path(victim(n)), forgery()...)
		assert.Equal(t, http.StatusOK, got.status, "%s: %s", who.name, got.body)
		assert.False(t, a.isThere(t, victim(n)))
		assert.Equal(t, map[string]string{
			"caller": who.name, "via": "aggregation", "verb": "delete", "object": "workspaces.kaito.sh " + a.open + "/" + victim(n), "outcome": "done",
		}, a.lastAction(t, who.name))
	}
	denied := a.lastAction(t, a.reader.name)
	assert.Equal(t, string(api.ErrorCodeForbidden), denied["outcome"])
	assert.Equal(t, "aggregation", denied["via"])
	assert.Equal(t, "token", a.lastAction(t, a.account.name)["via"])
	for _, who := range []person{a.certificate, a.token} {
		assert.Empty(t, a.lastAction(t, who.name), "what the API server refused has not reached the server")
	}
}

// lastAction is what the log says that somebody did, or tried.
func (a *peopled) lastAction(t *testing.T, name string) (said map[string]string) {
	t.Helper()
	for line := range strings.Lines(a.log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) != nil || fields["msg"] != "action" || fields["caller"] != name {
			continue
		}
		said = map[string]string{}
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			if slices.Contains([]string{"caller", "via", "verb", "object", "outcome"}, key) {
				said[key] = fmt.Sprint(fields[key])
			}
		}
	}
	return said
}
