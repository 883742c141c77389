package tenancy

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

const (
	// leakSlack is what the way from the server through this test may take on a machine that is busy, over the 30 s.
	leakSlack = 2 * time.Second
	// tokenCache is how long the API server itself goes on accepting a token that it has accepted.
	tokenCache = 10 * time.Second
	// grantWithin is when documents are there after a grant: an answer of no holds for 30 s, and a bye makes clients wait 1 to 2 s.
	grantWithin = auth.Validity + 5*time.Second + leakSlack
)

// kubernetesRights open what lies in a namespace: deployments of every runtime, and pods.
func kubernetesRights() []rbacv1.PolicyRule {
	list := []string{"list", "watch", "get"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: list},
		{APIGroups: []string{"kaito.sh"}, Resources: []string{"workspaces"}, Verbs: list},
		{APIGroups: []string{"ray.io"}, Resources: []string{"rayservices"}, Verbs: list},
		{APIGroups: []string{"nvidia.com"}, Resources: []string{"dynamographdeployments"}, Verbs: list},
	}
}

// namespaceOf is the one of a document that lies in one; empty for others.
func namespaceOf(id string) string {
	namespace, _, ok := strings.Cut(id, "/")
	if !ok {
		return ""
	}
	return namespace
}

// tenure is a time during which somebody may have had a right: from before it was given until it was surely gone. Zero: still.
type tenure struct{ from, until time.Time }

// watcher is one stream of a leakCaller.
type watcher struct {
	who   *leakCaller
	via   string
	state *streamclient.State

	mu       sync.Mutex
	arrivals map[string][]time.Time // of changes, by namespace
	byes     map[api.ByeEventReason][]time.Time
	refused  error
	synced   time.Time
}

func (w *watcher) take(e streamclient.Event) error {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Type {
	case streamclient.EventChanges:
		changes, err := e.Changes()
		if err != nil {
			return err
		}
		for _, c := range changes {
			if namespace := namespaceOf(c.Id); namespace != "" {
				w.arrivals[namespace] = append(w.arrivals[namespace], now)
			}
		}
	case streamclient.EventBye:
		bye, err := e.Bye()
		if err != nil {
			return err
		}
		w.byes[bye.Reason] = append(w.byes[bye.Reason], now)
	case streamclient.EventSynced:
		w.synced = now
	}
	return nil
}

// leakCaller is a ServiceAccount with its streams, and what it had a right to at which times.
type leakCaller struct {
	name     string
	identity *devcluster.Identity
	token    string
	tenures  map[string][]tenure
	bindings map[string]*devcluster.Binding
	watchers []*watcher
}

func (l *leak) give(t *testing.T, c *leakCaller, namespace string) {
	before := time.Now()
	c.bindings[namespace] = l.cluster.BindIn(t, namespace, c.identity.Subject(), l.role)
	c.tenures[namespace] = append(c.tenures[namespace], tenure{from: before})
}

func (l *leak) take(t *testing.T, c *leakCaller, namespace string) {
	gone := c.bindings[namespace].Revoke(t)
	delete(c.bindings, namespace)
	c.tenures[namespace][len(c.tenures[namespace])-1].until = gone
}

// leak is the world of the leak test.
type leak struct {
	cluster    *devcluster.Cluster
	i          *installation
	role       string
	namespaces []string
	callers    []*leakCaller
	// deaf makes the API server's answers about people get lost on their way to the server, while all others arrive.
	deaf    atomic.Bool
	changed atomic.Int64
	// forbidden is how often the API server refused the way to the server to those who have the right to it.
	forbidden atomic.Int64
}

// TestNoDocumentOutlivesTheRightToIt: rights are taken away and given while 200 streams of 20 callers are open and documents
// change all the time. Nothing forbidden arrives later than 30 s after the API server's authorizer had the revocation, and
// leakSlack for the way; to those who never had the right nothing does at all.
func TestNoDocumentOutlivesTheRightToIt(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	cluster, err := devcluster.Start(t.Context(), devcluster.Options{}) // of its own: its API server is restarted
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cluster.Stop()) })
	l := &leak{cluster: cluster}
	l.install(t)
	l.populate(t)

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { l.change(ctx) })
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	changing := l.callers[8:18]
	for _, c := range changing {
		for _, namespace := range l.namespaces {
			if random.IntN(2) == 0 {
				l.give(t, c, namespace)
			}
		}
	}
	for _, c := range l.callers {
		for _, w := range c.watchers {
			running.Go(func() { l.watch(ctx, t, w) })
		}
	}
	l.allSynced(t, time.Time{}, l.callers)
	began := time.Now()
	t.Logf("%d streams are open", 10*len(l.callers))

	// A ServiceAccount is deleted, and the object that a token is bound to.
	admin, err := kubernetes.NewForConfig(cluster.Config())
	require.NoError(t, err)
	home := l.callers[18].identity.Subject().Namespace
	require.NoError(t, admin.CoreV1().ServiceAccounts(home).Delete(t.Context(), l.callers[18].identity.Subject().Name, metav1.DeleteOptions{}))
	require.NoError(t, admin.CoreV1().Secrets(home).Delete(t.Context(), "bound", metav1.DeleteOptions{}))
	deleted := time.Now()

	given, taken := 0, 0
	for time.Since(began) < 15*time.Second {
		c, namespace := changing[random.IntN(len(changing))], l.namespaces[random.IntN(len(l.namespaces))]
		if c.bindings[namespace] == nil {
			l.give(t, c, namespace)
			given++
		} else {
			l.take(t, c, namespace)
			taken++
		}
		time.Sleep(time.Duration(random.IntN(600)) * time.Millisecond)
	}
	last := time.Now()
	time.Sleep(grantWithin)
	t.Logf("%d rights were given and %d taken; documents changed %d times in %s", given, taken, l.changed.Load(), time.Since(began).Round(time.Second))
	l.check(t, last)
	for _, c := range l.callers[18:] {
		for _, w := range c.watchers {
			w.mu.Lock()
			var status *streamclient.StatusError
			if assert.Len(t, w.byes[api.ByeEventReasonTokenExpired], 1, "%s by %s: %v", c.name, w.via, w.byes) {
				assert.Less(t, w.byes[api.ByeEventReasonTokenExpired][0].Sub(deleted), auth.Validity+tokenCache+leakSlack)
			}
			if assert.ErrorAs(t, w.refused, &status) {
				assert.Equal(t, http.StatusUnauthorized, status.StatusCode)
			}
			w.mu.Unlock()
		}
	}
	l.outage(t)
	l.checkArrivals(t)
}

// outage: the API server does not tell about people any more, and is restarted too. Nobody is shown anything beyond 30 s, and
// all come back by themselves.
func (l *leak) outage(t *testing.T) {
	alive := l.callers[:18]
	l.deaf.Store(true)
	silent := time.Now()
	require.NoError(t, l.cluster.RestartAPIServer(t.Context()))
	restarted := time.Now()
	t.Logf("the API server was restarted in %s", restarted.Sub(silent).Round(time.Millisecond))
	time.Sleep(time.Until(silent.Add(auth.Validity + leakSlack)))
	changes := l.changed.Load()
	time.Sleep(2 * time.Second)
	assert.Greater(t, l.changed.Load(), changes, "documents go on changing")
	for _, c := range alive {
		for _, w := range c.watchers {
			w.mu.Lock()
			for namespace, arrivals := range w.arrivals {
				late := arrivals[len(arrivals)-1].Sub(silent)
				assert.Less(t, late, auth.Validity+leakSlack, "%s by %s was shown something of %s by rights that nobody knew any more", c.name, w.via, namespace)
			}
			if w.via != "aggregation" { // those were cut with the API server
				assert.Len(t, w.byes[api.ByeEventReasonRightsUnknown], 1, "%s by %s", c.name, w.via)
			}
			w.mu.Unlock()
		}
	}
	l.deaf.Store(false)
	back := time.Now()
	l.allSynced(t, back, alive)
	t.Logf("all streams were back %s after the API server answered again; it refused the way to the server %d times after its restart",
		time.Since(back).Round(time.Millisecond), l.forbidden.Load())
}

// check is after the last change of rights has taken effect.
func (l *leak) check(t *testing.T, last time.Time) {
	l.checkArrivals(t)
	for n, c := range l.callers[:18] {
		for _, w := range c.watchers {
			w.mu.Lock()
			for reason, times := range w.byes {
				assert.True(t, n >= 8 && reason == api.ByeEventReasonRightsChanged, "%s by %s was told bye: %s, %d times", c.name, w.via, reason, len(times))
			}
			for namespace, tenures := range c.tenures {
				for _, had := range tenures {
					if !had.until.IsZero() && had.until.Sub(had.from) < grantWithin {
						continue
					}
					there := slices.ContainsFunc(w.arrivals[namespace], func(at time.Time) bool { return at.After(had.from) && at.Before(had.from.Add(grantWithin)) })
					assert.True(t, there, "%s by %s was shown nothing of %s within %s of being given the right", c.name, w.via, namespace, grantWithin)
				}
			}
			w.mu.Unlock()
			holds := map[string]bool{}
			for _, d := range w.state.Documents() {
				if namespace := namespaceOf(d.ID); namespace != "" {
					holds[namespace] = true
				}
			}
			for _, namespace := range l.namespaces {
				assert.Equal(t, c.bindings[namespace] != nil, holds[namespace], "%s by %s holds documents of %s, %s after the last change", c.name, w.via, namespace, time.Since(last))
			}
		}
	}
}

// checkArrivals looks at every change that anybody was ever sent.
func (l *leak) checkArrivals(t *testing.T) {
	total, after, latest := 0, 0, time.Duration(0)
	for _, c := range l.callers {
		for _, w := range c.watchers {
			w.mu.Lock()
			for namespace, arrivals := range w.arrivals {
				for _, at := range arrivals {
					total++
					beyond, allowed := time.Duration(1<<62), false
					for _, had := range c.tenures[namespace] {
						switch {
						case at.Before(had.from):
						case had.until.IsZero() || at.Before(had.until):
							beyond, allowed = 0, true
						default:
							beyond = min(beyond, at.Sub(had.until))
							allowed = allowed || beyond <= auth.Validity+leakSlack
						}
					}
					if beyond > 0 && allowed {
						after, latest = after+1, max(latest, beyond)
					}
					if !assert.True(t, allowed, "%s by %s was sent a document of %s, %s after the right to it", c.name, w.via, namespace, beyond) {
						w.mu.Unlock()
						return
					}
				}
			}
			w.mu.Unlock()
		}
	}
	t.Logf("%d documents were received; %d of them after the right to them was gone, the last %s after", total, after, latest.Round(time.Millisecond))
	assert.Greater(t, total, 10_000, "or the test shows nothing")
}

// install runs the server behind a proxy which can lose what the API server says of people.
func (l *leak) install(t *testing.T) {
	require.NoError(t, deploy.Apply(t.Context(), l.cluster.Config()))
	config := l.cluster.ServiceAccount(t, deploy.Namespace, "kubefoundry").Config()
	target, err := url.Parse(config.Host)
	require.NoError(t, err)
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport, FlushInterval: -1,
		ErrorLog:     log.New(io.Discard, "", 0), // of connections that the restart cuts
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	between := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.deaf.Load() && (strings.HasPrefix(r.URL.Path, "/apis/authentication.k8s.io/") || strings.HasPrefix(r.URL.Path, "/apis/authorization.k8s.io/")) {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	between.EnableHTTP2 = true
	between.StartTLS()
	t.Cleanup(func() {
		between.CloseClientConnections()
		between.Close()
	})
	config.Host, config.CAFile = between.URL, ""
	config.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: between.Certificate().Raw})
	l.i = install(t, l.cluster, "--kubeconfig="+kubeconfig(t, config))
}

var leakWorkspaces = schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"}

// populate makes the namespaces with two deployments in each, and the callers: 4 who never have a right, 4 who always have one
// to two namespaces, 10 whose rights change, one whose ServiceAccount is deleted and one whose token is bound to a Secret that is.
func (l *leak) populate(t *testing.T) {
	client, err := dynamic.NewForConfig(l.cluster.Config())
	require.NoError(t, err)
	home := devcluster.Namespace(t, l.cluster)
	l.role = l.cluster.Role(t, "leak", kubernetesRights()...)
	for range 4 {
		namespace := devcluster.Namespace(t, l.cluster)
		l.namespaces = append(l.namespaces, namespace)
		for n := range 2 {
			_, err := client.Resource(leakWorkspaces).Namespace(namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": map[string]any{"name": fmt.Sprint("model-", n)},
				"resource":  map[string]any{"count": int64(1), "labelSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/os": "linux"}}},
				"inference": map[string]any{"preset": map[string]any{"name": "qwen2.5-coder-7b-instruct"}},
			}}, metav1.CreateOptions{})
			require.NoError(t, err)
		}
	}
	for n := range 20 {
		name := fmt.Sprintf("%s-%d", []string{"never", "always", "changing", "changing", "changing"}[min(n/4, 4)], n)
		who := l.cluster.ServiceAccount(t, home, name)
		c := &leakCaller{name: name, identity: who, token: who.Config().BearerToken, tenures: map[string][]tenure{}, bindings: map[string]*devcluster.Binding{}}
		l.cluster.Bind(t, who.Subject(), "kubefoundry-user") // the way to the server, and nothing to see
		l.callers = append(l.callers, c)
		if n >= 4 && n < 8 || n >= 18 {
			l.give(t, c, l.namespaces[0])
			l.give(t, c, l.namespaces[1])
		}
		if n == 19 {
			c.token = l.bound(t, who)
		}
		for s := range 10 {
			via := []string{"HTTP/1.1", "HTTP/2", "HTTP/1.1", "aggregation", "HTTP/2", "HTTP/1.1", "aggregation", "HTTP/2", "HTTP/1.1", "aggregation"}[s]
			if n >= 18 && via == "aggregation" { // there the API server has let them in, for as long as the stream lasts
				via = "HTTP/2"
			}
			c.watchers = append(c.watchers, &watcher{who: c, via: via, state: streamclient.NewState(), arrivals: map[string][]time.Time{}, byes: map[api.ByeEventReason][]time.Time{}})
		}
	}
	// Whoever may see a cell that comes into being starts over; here none must, so everything there will be is awaited.
	everybody := l.cluster.ServiceAccount(t, home, "everybody")
	l.cluster.Bind(t, everybody.Subject(), l.role)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		pods := map[string]bool{}
		for _, d := range documents(t, l.i, everybody) {
			pods[namespaceOf(d.ID)] = pods[namespaceOf(d.ID)] || d.Kind == api.KindPods
		}
		for _, namespace := range l.namespaces {
			require.True(c, pods[namespace])
		}
	}, patience, 200*time.Millisecond)
}

// bound is a token that lives no longer than the Secret "bound".
func (l *leak) bound(t *testing.T, who *devcluster.Identity) string {
	admin, err := kubernetes.NewForConfig(l.cluster.Config())
	require.NoError(t, err)
	subject := who.Subject()
	secret, err := admin.CoreV1().Secrets(subject.Namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bound"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	made, err := admin.CoreV1().ServiceAccounts(subject.Namespace).CreateToken(t.Context(), subject.Name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: secret.Name, UID: secret.UID}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return made.Status.Token
}

// change changes a document every 40 ms, and goes on when the API server is away.
func (l *leak) change(ctx context.Context) {
	config := l.cluster.Config()
	config.QPS, config.Timeout = -1, 5*time.Second
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return
	}
	for n, ticker := 0, time.Tick(40*time.Millisecond); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker:
		}
		patch, _ := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{map[string]any{
			"type": "ResourceReady", "status": "False", "reason": "Changing", "message": fmt.Sprint("change ", n), "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		}}}})
		_, err := client.Resource(leakWorkspaces).Namespace(l.namespaces[n%len(l.namespaces)]).
			Patch(ctx, fmt.Sprint("model-", n/len(l.namespaces)%2), types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		if err == nil {
			l.changed.Add(1)
		}
	}
}

// watch follows a stream for as long as the server lets it.
func (l *leak) watch(ctx context.Context, t *testing.T, w *watcher) {
	client := l.i.client()
	address, header := l.i.url, http.Header{"Authorization": {"Bearer " + w.who.token}}
	switch w.via {
	case "HTTP/2":
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = true //nolint:forcetypeassert // of client
	case "aggregation":
		config := l.cluster.Bearer(w.who.token)
		var err error
		if client, err = rest.HTTPClientFor(config); !assert.NoError(t, err) {
			return
		}
		address, header = config.Host+aggregation.ProxyPath(""), nil
	}
	defer client.CloseIdleConnections()
	var err error
	for {
		err = (&streamclient.Client{URL: address + "/api/stream", HTTP: client, Header: header, State: w.state}).Run(ctx, w.state.Cursor(), w.take)
		// An API server that has just started answers before its authorizer has read the bindings, and the client takes a no for
		// an answer.
		status, ok := errors.AsType[*streamclient.StatusError](err)
		if !ok || w.via != "aggregation" || status.StatusCode != http.StatusForbidden || status.Code != "" {
			break
		}
		l.forbidden.Add(1)
		time.Sleep(time.Second)
	}
	if !errors.Is(err, context.Canceled) {
		w.mu.Lock()
		w.refused = err
		w.mu.Unlock()
	}
}

// allSynced waits until every stream has had everything, later than a time.
func (l *leak) allSynced(t *testing.T, since time.Time, callers []*leakCaller) {
	t.Helper()
	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		for _, c := range callers {
			for _, w := range c.watchers {
				w.mu.Lock()
				synced, refused := w.synced, w.refused
				w.mu.Unlock()
				require.NoError(collect, refused)
				require.True(collect, synced.After(since) && w.state.Complete(), "%s by %s", c.name, w.via)
			}
		}
	}, patience, 100*time.Millisecond)
}
