package httpapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// TestAsTheCaller is about what is done in somebody's name, in a real cluster: API server, RBAC and all. Only the view is filled
// by hand, with documents of objects that are there.
func TestAsTheCaller(t *testing.T) {
	shared := devcluster.Shared{Options: devcluster.Options{GPUNodes: -1}}
	kube := &live{Cluster: shared.Cluster(t)}
	t.Cleanup(func() { require.NoError(t, kube.Stop()) })
	config := kube.Config()
	config.QPS = -1
	var err error
	kube.core, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	kube.dynamic, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	require.NoError(t, kube.Define(t.Context(), "workspaces.kaito.sh"))

	for name, test := range map[string]func(*testing.T, *live){
		"delete":                    testDelete,
		"delete what has changed":   testDeleteStale,
		"delete companions":         testDeleteCompanions,
		"no Kubernetes API":         testNoKubernetesAPI,
		"by impersonation":          testImpersonation,
		"what impersonation needs":  testImpersonationNeeds,
		"no token gets out":         testTokensStayIn,
		"tokens in namespaces":      testTokenSecrets,
		"settings":                  testSettings,
		"metrics":                   testMetrics,
		"metrics, followed":         testFollowMetrics,
		"logs":                      testLogs,
		"logs of pods that are not": testLogsOfOddPods,
	} {
		t.Run(name, func(t *testing.T) { test(t, kube) })
	}
}

// live is the cluster, and an administrator's clients.
type live struct {
	*devcluster.Cluster
	core    kubernetes.Interface
	dynamic dynamic.Interface
}

var workspaces = schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"}

// Rights, as rules.
var (
	seeing     = []rbacv1.PolicyRule{rule("kaito.sh", "workspaces", "list"), rule("", "pods", "list")}
	editing    = append(slices.Clone(seeing), rule("kaito.sh", "workspaces", "delete"), rule("", "services", "get", "delete"))
	readingLog = append(slices.Clone(seeing), rule("", "pods", "get"), rule("", "pods/log", "get"))
)

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// somebody is a ServiceAccount with rights in its namespace.
func (k *live) somebody(t *testing.T, namespace, name string, rules []rbacv1.PolicyRule) *devcluster.Identity {
	t.Helper()
	who := k.ServiceAccount(t, namespace, name)
	if len(rules) > 0 {
		k.BindIn(t, namespace, who.Subject(), k.Role(t, name, rules...))
	}
	return who
}

// workspace creates a KAITO workspace that needs no GPU, and returns its document.
func (k *live) workspace(t *testing.T, namespace, name string, change ...func(*unstructured.Unstructured)) api.Deployment {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
		"metadata": map[string]any{"name": name, "namespace": namespace},
		"resource": map[string]any{"count": int64(1), "labelSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/os": "linux"}}},
		"inference": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
			"name": "model", "image": "ghcr.io/kaito-project/aikit/llama3.2:1b", "args": []any{"run", "--address=:5000"},
		}}}}},
	}}
	for _, c := range change {
		c(u)
	}
	made, err := k.dynamic.Resource(workspaces).Namespace(namespace).Create(t.Context(), u, metav1.CreateOptions{})
	require.NoError(t, err)
	d := deployment(namespace, "kaito", name)
	d.Resource.Uid = string(made.GetUID())
	return d
}

func (k *live) there(t *testing.T, d api.Deployment) bool {
	t.Helper()
	found, err := k.dynamic.Resource(workspaces).Namespace(d.Namespace).Get(t.Context(), d.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	require.NoError(t, err)
	return found.GetDeletionTimestamp() == nil
}

// service creates the Service of a deployment that runs vLLM.
func (k *live) service(t *testing.T, d api.Deployment, change ...func(*corev1.Service)) {
	t.Helper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name + "-vllm", Namespace: d.Namespace,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "kubefoundry", "app.kubernetes.io/instance": d.Name},
		},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8000}}},
	}
	for _, c := range change {
		c(s)
	}
	_, err := k.core.CoreV1().Services(d.Namespace).Create(t.Context(), s, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (k *live) serviceThere(t *testing.T, d api.Deployment) bool {
	t.Helper()
	_, err := k.core.CoreV1().Services(d.Namespace).Get(t.Context(), d.Name+"-vllm", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	require.NoError(t, err)
	return true
}

// acting is a server that acts as its callers.
type acting struct {
	*cluster
	identity *auth.Delegated
	log      *observer.ObservedLogs
}

// serve starts a server whose own rights are those that it needs to know its callers, and more if given.
func (k *live) serve(t *testing.T, more ...rbacv1.PolicyRule) *acting {
	t.Helper()
	namespace := devcluster.Namespace(t, k.Cluster)
	own := k.ServiceAccount(t, namespace, "kubefoundry")
	k.Bind(t, own.Subject(), "system:auth-delegator")
	k.BindIn(t, "kube-system", own.Subject(), k.Role(t, "front-proxy", rule("", "configmaps", "get", "list", "watch")))
	if len(more) > 0 {
		k.Bind(t, own.Subject(), k.Role(t, "more", more...))
	}
	core, log := observer.New(zap.DebugLevel)
	a := &acting{log: log}
	a.cluster = serve(t, func(c *cluster, o *Options) {
		o.Logger = zap.New(core)
		var err error
		a.identity, err = auth.NewDelegated(auth.Options{
			Config: own.Config(), Documents: c.view, Logger: o.Logger,
			Rights: auth.RightsFor(map[string]auth.Resource{"kaito": {Group: "kaito.sh", Resource: "workspaces"}}, "kubefoundry-system"),
		})
		require.NoError(t, err)
		o.Identity = a.identity
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.identity.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	a.beat()
	a.synced()
	return a
}

// as sends a request with a token.
func (a *acting) as(who *devcluster.Identity, method, path string) answer {
	a.t.Helper()
	return a.ask(method, path, "Authorization", "Bearer "+who.Config().BearerToken)
}

// audit is the lines about actions since it was last called, as "caller via verb object outcome".
func (a *acting) audit() []string {
	lines := []string{}
	for _, entry := range a.log.TakeAll() {
		if entry.LoggerName == "audit" {
			f := entry.ContextMap()
			lines = append(lines, fmt.Sprint(f["caller"], " ", f["via"], " ", f["verb"], " ", f["object"], ": ", f["outcome"]))
		}
	}
	return lines
}

func (a answer) message(t *testing.T) string {
	t.Helper()
	var m api.Message
	a.into(t, &m)
	return m.Message
}

// failed holds an error against what it should be, and returns its text.
func (a answer) failed(t *testing.T, status int, code api.ErrorCode) string {
	t.Helper()
	e := a.failure(t)
	require.Equal(t, status, e.StatusCode, e.Message)
	require.Equal(t, code, e.Code, e.Message)
	return e.Message
}

func testDelete(t *testing.T, k *live) {
	a := k.serve(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	editor, viewer := k.somebody(t, namespace, "editor", editing), k.somebody(t, namespace, "viewer", seeing)
	stranger := k.ServiceAccount(t, namespace, "stranger")
	d := k.workspace(t, namespace, "llama")
	a.put(d)

	path := "/api/deployments/llama?namespace=" + namespace
	require.Equal(t, "Deployment llama not found in namespace "+namespace,
		strings.SplitN(a.as(stranger, http.MethodDelete, path).failed(t, 404, api.ErrorCodeNotFound), ".", 2)[0])
	require.True(t, k.there(t, d))
	require.Equal(t, []string{stranger.Name + " token delete deployment llama: NotFound"}, a.audit())

	refused := a.as(viewer, http.MethodDelete, path).failed(t, 403, api.ErrorCodeForbidden)
	require.Contains(t, refused, "cannot delete workspaces.kaito.sh "+namespace+"/llama: ")
	require.Contains(t, refused, fmt.Sprintf(`User %q cannot delete resource "workspaces" in API group "kaito.sh" in the namespace %q`, viewer.Name, namespace))
	require.True(t, k.there(t, d))
	require.Equal(t, []string{viewer.Name + " token delete workspaces.kaito.sh " + namespace + "/llama: Forbidden"}, a.audit())

	require.Equal(t, "Deployment deleted successfully", a.as(editor, http.MethodDelete, path).message(t))
	require.Eventually(t, func() bool { return !k.there(t, d) }, 10*time.Second, 20*time.Millisecond)
	audit := a.audit()
	require.Equal(t, editor.Name+" token delete workspaces.kaito.sh "+namespace+"/llama: done", audit[0])

	require.Equal(t, 401, a.ask(http.MethodDelete, path).status)
}

func testDeleteStale(t *testing.T, k *live) {
	a := k.serve(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	editor, viewer := k.somebody(t, namespace, "editor", editing), k.somebody(t, namespace, "viewer", seeing)
	path := func(d api.Deployment) string { return "/api/deployments/" + d.Name + "?namespace=" + namespace }

	seen := k.workspace(t, namespace, "again")
	a.put(seen)
	require.NoError(t, k.dynamic.Resource(workspaces).Namespace(namespace).Delete(t.Context(), "again", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { // it has finalizers
		_, err := k.dynamic.Resource(workspaces).Namespace(namespace).Get(t.Context(), "again", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, 20*time.Second, 50*time.Millisecond)
	require.Contains(t, a.as(editor, http.MethodDelete, path(seen)).failed(t, 404, api.ErrorCodeNotFound), "gone already")
	later := k.workspace(t, namespace, "again")
	require.Contains(t, a.as(editor, http.MethodDelete, path(seen)).failed(t, 409, api.ErrorCodeConflict), "created anew")
	require.True(t, k.there(t, later))

	leaving := k.workspace(t, namespace, "leaving", func(u *unstructured.Unstructured) { u.SetFinalizers([]string{"test.kubefoundry.io/hold"}) })
	t.Cleanup(func() { // without a finalizer it goes
		u, err := k.dynamic.Resource(workspaces).Namespace(namespace).Get(context.Background(), "leaving", metav1.GetOptions{})
		if err == nil {
			u.SetFinalizers(nil)
			_, _ = k.dynamic.Resource(workspaces).Namespace(namespace).Update(context.Background(), u, metav1.UpdateOptions{})
		}
	})
	a.put(leaving)
	require.Equal(t, "Deployment deleted successfully", a.as(editor, http.MethodDelete, path(leaving)).message(t))
	leaving.Phase = api.PhaseTerminating
	a.put(leaving)
	require.Equal(t, "Deployment is being deleted already", a.as(editor, http.MethodDelete, path(leaving)).message(t))
	a.as(viewer, http.MethodDelete, path(leaving)).failed(t, 403, api.ErrorCodeForbidden)

	old := k.workspace(t, namespace, "old")
	old.Resource.Version = "v1alpha0"
	a.put(old)
	require.Contains(t, a.as(editor, http.MethodDelete, path(old)).failed(t, 404, api.ErrorCodeNotFound), "does not serve this resource any more")
	require.True(t, k.there(t, old))

	unknown := old
	unknown.Resource.Uid = ""
	a.put(unknown)
	a.as(editor, http.MethodDelete, path(unknown)).failed(t, 500, api.ErrorCodeInternal)
	require.True(t, k.there(t, old))
}

func testDeleteCompanions(t *testing.T, k *live) {
	a := k.serve(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	editor := k.somebody(t, namespace, "editor", editing)
	looker := k.somebody(t, namespace, "looker", append(slices.Clone(editing[:3]), rule("", "services", "get")))
	blind := k.somebody(t, namespace, "blind", editing[:3])
	viewer := k.somebody(t, namespace, "viewer", seeing)
	const done = "Deployment deleted successfully"
	path := func(name string) string { return "/api/deployments/" + name + "?namespace=" + namespace }

	for name, test := range map[string]struct {
		who    *devcluster.Identity
		change func(api.Deployment, *corev1.Service)
		says   string
		left   bool
	}{
		"ours":         {who: editor, says: done},
		"by-hand":      {editor, func(_ api.Deployment, s *corev1.Service) { s.Labels = nil }, done + ". The Service by-hand-vllm is left, for it is not one that KubeFoundry made for this deployment", true},
		"of-another":   {editor, func(_ api.Deployment, s *corev1.Service) { s.Labels["app.kubernetes.io/instance"] = "x" }, done + ". The Service of-another-vllm is left", true},
		"may-not":      {looker, nil, done + ". Its Service may-not-vllm is left: cannot delete services " + namespace + "/may-not-vllm: ", true},
		"may-not-look": {blind, nil, done + ". Its Service may-not-look-vllm may be left: cannot look at services " + namespace + "/may-not-look-vllm: ", true},
		"may-nothing":  {viewer, nil, "", true},
	} {
		d := k.workspace(t, namespace, name)
		k.service(t, d, func(s *corev1.Service) {
			if test.change != nil {
				test.change(d, s)
			}
		})
		a.put(d)
		answer := a.as(test.who, http.MethodDelete, path(name))
		if test.says == "" {
			answer.failed(t, 403, api.ErrorCodeForbidden)
		} else {
			message := answer.message(t)
			require.True(t, strings.HasPrefix(message, test.says) && (message == done) == (test.says == done), message)
		}
		require.Equal(t, test.left, k.serviceThere(t, d), name)
	}
	a.audit()

	// One that goes with its owner is the cluster's business.
	d := k.workspace(t, namespace, "owned", func(u *unstructured.Unstructured) { u.SetFinalizers([]string{"test.kubefoundry.io/hold"}) })
	k.service(t, d, func(s *corev1.Service) {
		s.Labels = nil
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "kaito.sh/v1beta1", Kind: "Workspace", Name: d.Name, UID: types.UID(d.Resource.Uid)}}
	})
	a.put(d)
	require.Equal(t, done, a.as(editor, http.MethodDelete, path("owned")).message(t))
	require.Len(t, a.audit(), 1)

	// None is there, and the engine that has none.
	d = k.workspace(t, namespace, "none")
	a.put(d)
	require.Equal(t, done, a.as(editor, http.MethodDelete, path("none")).message(t))
	d = k.workspace(t, namespace, "gguf")
	d.Engine = api.EngineLlamacpp
	k.service(t, d)
	a.put(d)
	require.Equal(t, done, a.as(blind, http.MethodDelete, path("gguf")).message(t))
	require.True(t, k.serviceThere(t, d))
}

// changed is an identity whose access to the cluster is another one.
type changed struct {
	Identity
	change func(*rest.Config)
}

func (c changed) Config(caller *auth.Caller) *rest.Config {
	config := c.Identity.Config(caller)
	c.change(config)
	return config
}

func testNoKubernetesAPI(t *testing.T, k *live) {
	a := k.serve(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	editor := k.somebody(t, namespace, "editor", slices.Concat(editing, readingLog[2:]))
	d := k.workspace(t, namespace, "llama")
	a.put(d, pod(namespace, "llama-0", d.Id))
	path := "/api/deployments/llama"

	a.server.identity = changed{a.identity, func(c *rest.Config) { c.Host = "https://127.0.0.1:1" }}
	for _, answer := range []answer{a.as(editor, http.MethodDelete, path), a.as(editor, http.MethodGet, path+"/logs")} {
		message := answer.failed(t, 503, api.ErrorCodeUnavailable)
		require.Contains(t, message, "the Kubernetes API does not answer; try again later")
		require.NotContains(t, answer.body, "127.0.0.1")
		require.NotEmpty(t, answer.header.Get("Retry-After"))
	}
	require.Equal(t, []string{editor.Name + " token delete workspaces.kaito.sh " + namespace + "/llama: Unavailable"}, a.audit())

	a.server.identity = changed{a.identity, func(c *rest.Config) { c.BearerToken = "expired" }}
	a.as(editor, http.MethodDelete, path).failed(t, 401, api.ErrorCodeUnauthenticated)

	// Without a token of the caller's, it is the server's that is refused: nobody has to log in again for that.
	local := auth.NewUnchecked(k.Config(), "admin")
	a.server.identity = changed{local, func(c *rest.Config) { *c = *k.Bearer("expired") }}
	require.Contains(t, a.ask(http.MethodDelete, path).failed(t, 503, api.ErrorCodeUnavailable), "this server's own credentials")
	require.True(t, k.there(t, d))
	a.server.identity = local
	require.Equal(t, "Deployment deleted successfully", a.ask(http.MethodDelete, path).message(t))
}

// impersonator is the ClusterRole kubefoundry-impersonator.
var impersonator = []rbacv1.PolicyRule{
	{APIGroups: []string{""}, Resources: []string{"users", "groups", "serviceaccounts"}, Verbs: []string{"impersonate"}},
	{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"impersonate"}},
}

// user is somebody for whom the API server vouches.
type user struct {
	name, uid string
	groups    []string
	extra     map[string][]string
}

func (u user) header() http.Header {
	h := http.Header{"X-Remote-User": {u.name}, "X-Remote-Group": u.groups}
	if u.uid != "" {
		h.Set("X-Remote-Uid", u.uid)
	}
	for key, values := range u.extra {
		h["X-Remote-Extra-"+strings.NewReplacer("/", "%2F", ":", "%3A").Replace(key)] = values
	}
	return h
}

// front is the way through the Kubernetes API: TLS with the certificate of the API server's front proxy.
func (a *acting) front(t *testing.T, k *live) func(u user, method, path string) answer {
	t.Helper()
	web := httptest.NewUnstartedServer(a.server.Handler())
	web.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	web.StartTLS()
	t.Cleanup(web.Close)
	client := web.Client()
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{k.FrontProxy(t)}
	ask := func(u user, method, path string) answer {
		r, err := http.NewRequestWithContext(t.Context(), method, web.URL+path, http.NoBody)
		require.NoError(t, err)
		r.Header = u.header()
		b := *a.cluster
		b.client = client
		return b.do(r)
	}
	require.Eventually(t, func() bool { return ask(user{name: "anybody"}, http.MethodGet, "/api/me").status == 200 }, 20*time.Second, 50*time.Millisecond)
	return ask
}

func testImpersonation(t *testing.T, k *live) {
	namespace := devcluster.Namespace(t, k.Cluster)
	bot := k.somebody(t, namespace, "bot", editing)
	alice := user{
		name: "oidc:alice@" + namespace, uid: "8f14e45f", groups: []string{"oidc:data science", "system:authenticated"},
		extra: map[string][]string{"example.org/tenant": {"größe & co", "two"}, "authentication.kubernetes.io/credential-id": {"JTI=1"}},
	}
	everyKind := map[string]user{
		"of OIDC": alice,
		"of a certificate": {
			name: "jane@" + namespace, groups: []string{"team:" + namespace, "system:authenticated"},
			extra: map[string][]string{"authentication.kubernetes.io/credential-id": {"X509SHA256=00"}},
		},
		"a ServiceAccount": {
			name: bot.Name, uid: "6b86b273", groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			extra: map[string][]string{"authentication.kubernetes.io/pod-name": {"x"}, "authentication.kubernetes.io/node-name": {"y"}},
		},
		"with quotes in the name": {name: `o"brien "x" is forbidden: User "y" cannot impersonate z@` + namespace, groups: []string{"system:authenticated"}},
	}
	role := k.Role(t, "editor", editing...)
	for _, u := range everyKind {
		if u.name != bot.Name {
			k.BindIn(t, namespace, devcluster.User(u.name), role)
		}
	}
	viewer := user{name: `viewer "x" is forbidden: User "y" cannot impersonate z@` + namespace}
	k.BindIn(t, namespace, devcluster.User(viewer.name), k.Role(t, "viewer", seeing...))

	t.Run("refused", func(t *testing.T) {
		a := k.serve(t)
		ask := a.front(t, k)
		for kind, u := range everyKind {
			d := k.workspace(t, namespace, "refused-"+k8sName(kind))
			a.put(d)
			a.audit()
			message := ask(u, http.MethodDelete, "/api/deployments/"+d.Name).failed(t, 403, api.ErrorCodeForbidden)
			require.Contains(t, message, "cannot delete workspaces.kaito.sh "+namespace+"/"+d.Name+": KubeFoundry may not act in your name", kind)
			require.Contains(t, message, "impersonation.enabled")
			require.NotContains(t, message, "User", kind)
			require.True(t, k.there(t, d))
			require.Equal(t, []string{u.name + " aggregation delete workspaces.kaito.sh " + namespace + "/" + d.Name + ": Forbidden"}, a.audit())
		}
	})
	t.Run("allowed", func(t *testing.T) {
		a := k.serve(t, impersonator...)
		ask := a.front(t, k)
		for kind, u := range everyKind {
			d := k.workspace(t, namespace, "allowed-"+k8sName(kind))
			a.put(d)
			a.audit()
			message := ask(viewer, http.MethodDelete, "/api/deployments/"+d.Name).failed(t, 403, api.ErrorCodeForbidden)
			require.Contains(t, message, fmt.Sprintf("User %q cannot delete resource", viewer.name))
			require.NotContains(t, message, "impersonation.enabled")
			require.True(t, k.there(t, d))
			require.Equal(t, "Deployment deleted successfully", ask(u, http.MethodDelete, "/api/deployments/"+d.Name).message(t), kind)
			require.Eventually(t, func() bool { return !k.there(t, d) }, 10*time.Second, 20*time.Millisecond)
			audit := a.audit()
			require.Contains(t, audit, viewer.name+" aggregation delete workspaces.kaito.sh "+namespace+"/"+d.Name+": Forbidden")
			require.Contains(t, audit, u.name+" aggregation delete workspaces.kaito.sh "+namespace+"/"+d.Name+": done")
		}
		// Whoever the API server vouched for arrives there again as the same.
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header = alice.header()
		leaf := k.FrontProxy(t).Leaf
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
		caller, err := a.identity.Authenticate(r)
		require.NoError(t, err)
		arrives := alice
		arrives.uid = "" // an API server without --requestheader-uid-headers, as most are, tells nobody how it names uids
		require.Equal(t, arrives, whoIs(t, a.identity.Config(caller)))
	})
}

func k8sName(text string) string { return strings.ToLower(strings.ReplaceAll(text, " ", "-")) }

// whoIs asks the API server who it takes somebody for.
func whoIs(t *testing.T, config *rest.Config) user {
	t.Helper()
	u, err := askWho(t, config)
	require.NoError(t, err)
	return u
}

func askWho(t *testing.T, config *rest.Config) (user, error) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return user{}, err
	}
	info := review.Status.UserInfo
	u := user{name: info.Username, uid: info.UID, groups: info.Groups}
	for key, values := range info.Extra {
		if u.extra == nil {
			u.extra = map[string][]string{}
		}
		u.extra[key] = values
	}
	return u, nil
}

// testImpersonationNeeds is why the ClusterRole kubefoundry-impersonator is as it is: users that the API server really makes
// of tokens and certificates can be impersonated with all of its rules, and with none of them left out.
func testImpersonationNeeds(t *testing.T, k *live) {
	namespace := devcluster.Namespace(t, k.Cluster)
	core := func(resource string) rbacv1.PolicyRule { return rule("", resource, "impersonate") }
	authentication := func(resource string) rbacv1.PolicyRule { return rule("authentication.k8s.io", resource, "impersonate") }
	bot := k.ServiceAccount(t, namespace, "bot")
	for name, test := range map[string]struct {
		who   user
		needs []rbacv1.PolicyRule
	}{
		"a ServiceAccount": {whoIs(t, bot.Config()), []rbacv1.PolicyRule{core("serviceaccounts"), core("groups"), authentication("uids"), authentication("userextras/authentication.kubernetes.io/credential-id")}},
		"a certificate":    {whoIs(t, k.ClientCertificate(t, "jane", "team").Config()), []rbacv1.PolicyRule{core("users"), core("groups"), authentication("userextras/authentication.kubernetes.io/credential-id")}},
		"OIDC": {
			user{name: "oidc:alice", groups: []string{"oidc:team", "system:authenticated"}, extra: map[string][]string{"example.org/tenant": {"a"}}},
			[]rbacv1.PolicyRule{core("users"), core("groups"), authentication("userextras/example.org/tenant")},
		},
	} {
		attempt := func(what string, rules ...rbacv1.PolicyRule) (user, error) {
			server := k.ServiceAccount(t, namespace, k8sName(name+"-"+what))
			k.Bind(t, server.Subject(), k.Role(t, "server", rules...))
			config := server.Config()
			config.Impersonate = rest.ImpersonationConfig{UserName: test.who.name, UID: test.who.uid, Groups: test.who.groups, Extra: test.who.extra}
			return askWho(t, config)
		}
		t.Logf("%s: %+v", name, test.who)
		for what, rules := range map[string][]rbacv1.PolicyRule{"minimum": test.needs, "role": impersonator} {
			got, err := attempt(what, rules...)
			require.NoError(t, err, name)
			require.Equal(t, test.who, got, name)
		}
		for i, left := range test.needs {
			_, err := attempt(fmt.Sprintf("without-%d", i), slices.Delete(slices.Clone(test.needs), i, i+1)...)
			require.True(t, apierrors.IsForbidden(err), "%s without %v: %v", name, left, err)
			require.Regexp(t, impersonationRefused, words(err))
		}
		if test.who.extra != nil { // RBAC has no such wildcard
			_, err := attempt("subresources", core("users"), core("serviceaccounts"), core("groups"), authentication("uids"), authentication("userextras"), authentication("userextras/*"))
			require.True(t, apierrors.IsForbidden(err), err)
		}
	}
}

func testTokensStayIn(t *testing.T, k *live) {
	a := k.serve(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	d := k.workspace(t, namespace, "llama")
	a.put(d, pod(namespace, "llama-0", d.Id))
	path := "/api/deployments/llama?namespace=" + namespace
	log := "/api/deployments/llama/logs?namespace=" + namespace
	var answers []string
	for name, rules := range map[string][]rbacv1.PolicyRule{"stranger": nil, "viewer": seeing, "reader": readingLog, "editor": editing} {
		who := k.somebody(t, namespace, name, rules)
		for range 2 {
			answers = append(answers, a.as(who, http.MethodGet, log).body, a.as(who, http.MethodDelete, path).body)
		}
		a.server.identity = changed{a.identity, func(c *rest.Config) { c.Host = "https://127.0.0.1:1" }}
		answers = append(answers, a.as(who, http.MethodGet, log).body, a.as(who, http.MethodDelete, path).body)
		a.server.identity = a.identity

		said := strings.Join(answers, "\n")
		for _, entry := range a.log.All() {
			fields, err := json.Marshal(entry.ContextMap())
			require.NoError(t, err)
			said += entry.Message + string(fields)
		}
		require.Contains(t, said, who.Name) // not nothing
		for part := range strings.SplitSeq(who.Config().BearerToken, ".") {
			require.NotContains(t, said, part)
		}
		require.NotContains(t, said, "Bearer ")
	}
	a.ask(http.MethodDelete, path, "Authorization", "Bearer s3cr3t-of-another-cluster")
	for _, entry := range a.log.All() {
		require.NotContains(t, fmt.Sprint(entry.Message, slices.Collect(maps.Values(entry.ContextMap()))), "s3cr3t")
	}
}
