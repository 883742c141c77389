package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/internal/chat"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/operations"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// TestTalk is about what pods say, in a real cluster with model servers: their logs, events of them, and conversations with them.
func TestTalk(t *testing.T) {
	shared := devcluster.Shared{}
	kube := &live{Cluster: shared.Cluster(t)}
	t.Cleanup(func() { require.NoError(t, kube.Stop()) })
	config := kube.Config()
	config.QPS = -1
	var err error
	kube.core, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	kube.dynamic, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	for name, test := range map[string]func(*testing.T, *live){
		"chat with all runtimes":         testChat,
		"what crosses to a model server": testChatCrosses,
		"who may chat":                   testChatRights,
		"logs of all pods":               testLogsOfAll,
		"logs followed":                  testFollow,
		"logs followed by whom may not":  testFollowRights,
		"a slow reader of a log":         testFollowSlowly,
		"events":                         testEvents,
		"AIKit":                          testAikit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // one waits for half a minute until rights are looked at again
			test(t, kube)
		})
	}
}

var chatting = append(slices.Clone(readingLog), rule("", "services/proxy", "get", "create"), rule("", "events", "list"),
	rule("ray.io", "rayservices", "list", "get"), rule("nvidia.com", "dynamographdeployments", "list"), rule("ray.io", "rayclusters", "get"), rule("apps", "statefulsets", "get"))

// talk starts a server that knows all runtimes.
func (k *live) talk(t *testing.T, more ...func(*Options)) *acting {
	t.Helper()
	core, log := observer.New(zap.DebugLevel)
	a := &acting{log: log}
	namespace := devcluster.Namespace(t, k.Cluster)
	own := k.ServiceAccount(t, namespace, "kubefoundry")
	k.Bind(t, own.Subject(), "system:auth-delegator")
	k.BindIn(t, "kube-system", own.Subject(), k.Role(t, "front-proxy", rule("", "configmaps", "get", "list", "watch")))
	resources := map[string]auth.Resource{}
	for _, r := range registry.All() {
		resources[r.Info().ID] = auth.Resource{Group: r.Info().Resource.Group, Resource: r.Info().Resource.Plural}
	}
	a.cluster = serve(t, func(c *cluster, o *Options) {
		o.Logger = zap.New(core)
		o.Chat = chat.Limits{FirstByte: 3 * time.Second, Total: 8 * time.Second, Bytes: 1 << 20}
		for _, f := range more {
			f(o)
		}
		var err error
		a.identity, err = auth.NewDelegated(auth.Options{Config: own.Config(), Documents: c.view, Logger: o.Logger, Rights: auth.RightsFor(resources, "kubefoundry-system")})
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

func (a *acting) post(who *devcluster.Identity, path, body string) answer {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url+path, strings.NewReader(body))
	require.NoError(a.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+who.Config().BearerToken)
	return a.do(r)
}

func testChat(t *testing.T, k *live) {
	a := k.talk(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	user := k.somebody(t, namespace, "user", chatting)
	gpus := 1
	for _, config := range []api.DeploymentConfig{
		{Provider: "kaito", Name: "llama", ModelSource: "premade", PremadeModel: "llama3.2:1b", ComputeType: "cpu"},
		{Provider: "kaito", Name: "phi", ModelSource: "vllm", ModelId: "org/phi", ServedModelName: "phi", Resources: &api.ConfigResources{Gpu: &gpus}},
		{Provider: "kuberay", Name: "ray", ModelId: "org/ray", Engine: "vllm", Resources: &api.ConfigResources{Gpu: &gpus}},
		{Provider: "dynamo", Name: "dyn", ModelId: "org/dyn", Engine: "vllm", Resources: &api.ConfigResources{Gpu: &gpus}},
	} {
		config.Namespace = namespace
		r := registry.Get(config.Provider)
		made, wrong := r.Build(&config)
		require.Empty(t, wrong)
		info := r.Info().Resource
		primary, err := k.dynamic.Resource(schema.GroupVersionResource{Group: info.Group, Version: info.Versions[0], Resource: info.Plural}).Namespace(namespace).Create(t.Context(), made.Primary, metav1.CreateOptions{})
		require.NoError(t, err)
		for _, companion := range made.Companions {
			_, err := k.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace(namespace).Create(t.Context(), companion, metav1.CreateOptions{})
			require.NoError(t, err)
		}
		d := r.Project(primary).Deployment
		d.Id, d.Phase = namespace+"/"+config.Provider+"/"+config.Name, api.PhaseRunning
		require.NotNil(t, d.Endpoint, config.Name)
		a.put(d)
		path := "/api/deployments/" + config.Name + "/v1/"

		var list struct{ Data []struct{ ID string } }
		require.Eventually(t, func() bool {
			got := a.as(user, http.MethodGet, path+"models")
			return got.status == http.StatusOK && json.Unmarshal([]byte(got.body), &list) == nil && len(list.Data) == 1
		}, 60*time.Second, 200*time.Millisecond, config.Name)
		var whole struct {
			Model   string
			Choices []struct{ Message struct{ Content string } }
		}
		a.post(user, path+"chat/completions", `{"messages":[{"role":"user","content":"Hi"}],"max_tokens":5}`).into(t, &whole)
		require.Equal(t, list.Data[0].ID, whole.Model, "filled in")
		require.NotEmpty(t, whole.Choices[0].Message.Content)

		streamed := a.post(user, path+"chat/completions", `{"messages":[{"role":"user","content":"Hi"}],"max_tokens":5,"stream":true}`)
		require.Equal(t, http.StatusOK, streamed.status)
		require.Equal(t, "text/event-stream", streamed.header.Get("Content-Type"))
		require.True(t, strings.HasSuffix(streamed.body, "data: [DONE]\n\n"), streamed.body)
		require.GreaterOrEqual(t, strings.Count(streamed.body, "data: "), 6)
	}
	require.Contains(t, a.audit(), user.Name+" token chat deployment "+namespace+"/kaito/llama /v1/chat/completions: done")
	require.NotContains(t, fmt.Sprint(a.log.TakeAll()), "Hi")
}

// odd leads a deployment's service to a server of this test.
func (k *live) odd(t *testing.T, d *api.Deployment, address string, handler http.Handler) {
	t.Helper()
	listener, err := net.Listen("tcp", address+":0") //nolint:noctx // of a test
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	port := int32(listener.Addr().(*net.TCPAddr).Port) //nolint:gosec // a port
	meta := metav1.ObjectMeta{Name: d.Name, Namespace: d.Namespace}
	_, err = k.core.CoreV1().Services(d.Namespace).Create(t.Context(), &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	// The API server goes only where it finds a pod: this one is nobody's, with the address of the server.
	ip := strings.Replace(address, "127.", "10.", 1)
	p, err := k.core.CoreV1().Pods(d.Namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: meta, Spec: corev1.PodSpec{SchedulerName: "none", Containers: []corev1.Container{{Name: "model", Image: "registry.example/odd:1"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
	_, err = k.core.CoreV1().Pods(d.Namespace).UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = k.core.CoreV1().Endpoints(d.Namespace).Create(t.Context(), &corev1.Endpoints{ //nolint:staticcheck // the API server's proxy goes by them
		ObjectMeta: meta,
		Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // the same
			Addresses: []corev1.EndpointAddress{{IP: ip, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: d.Namespace, Name: d.Name}}}, Ports: []corev1.EndpointPort{{Name: "http", Port: port}},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	d.Phase, d.Endpoint, d.ServedModelName = api.PhaseRunning, &api.Endpoint{Service: d.Name, Port: 80}, "odd"
}

func testChatCrosses(t *testing.T, k *live) {
	a := k.talk(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	user := k.somebody(t, namespace, "user", chatting)
	d := deployment(namespace, "kaito", "odd")
	var seen atomic.Pointer[http.Request]
	ended := make(chan struct{}, 1)
	k.odd(t, &d, "127.100.7.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r)
		var body struct{ Model, Do string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Set-Cookie", "a=b")
		switch body.Do {
		case "fail":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"error":{"message":"too many tokens"}}`)
		case "fail at length":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(bytes.Repeat([]byte{'x'}, 10<<20))
		case "want a key":
			w.WriteHeader(http.StatusUnauthorized)
		case "lead away":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		case "a page":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<script>")
		case "too much":
			_, _ = w.Write(bytes.Repeat([]byte{'x'}, 2<<20))
		case "nothing":
			<-r.Context().Done()
		case "for ever":
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				fmt.Fprint(w, "data: x\n\n")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
			ended <- struct{}{}
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"model":%q}`, body.Model)
		}
	}))
	a.put(d)
	path := "/api/deployments/odd/v1/chat/completions?namespace=" + namespace
	do := func(what string) answer { return a.post(user, path, fmt.Sprintf(`{"do":%q}`, what)) }
	var got answer
	require.Eventually(t, func() bool { got = do(""); return got.status == http.StatusOK }, 20*time.Second, 100*time.Millisecond, "%v", &got)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+path, strings.NewReader(`{"model":"mine; rm -rf \"$(x)\""}`))
	require.NoError(t, err)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer " + user.Config().BearerToken, "Cookie": "session=1", "X-HF-Token": "hf_x",
		"Proxy-Authorization": "Basic x", "X-Secret": "s",
	} {
		r.Header.Set(name, value)
	}
	got = a.do(r)
	require.JSONEq(t, `{"model":"mine; rm -rf \"$(x)\""}`, got.body)
	require.Empty(t, got.header.Get("Set-Cookie"))
	for _, name := range []string{"Authorization", "Cookie", "X-Hf-Token", "X-Remote-User", "Proxy-Authorization", "X-Secret", "Impersonate-User"} {
		require.Empty(t, seen.Load().Header.Get(name), name)
	}
	require.Equal(t, "/v1/chat/completions", seen.Load().URL.Path)
	require.NotContains(t, fmt.Sprint(seen.Load().Header), user.Config().BearerToken)

	got = do("fail")
	require.Equal(t, 422, got.status)
	require.JSONEq(t, `{"error":{"message":"too many tokens"}}`, got.body)
	got = do("fail at length")
	require.Equal(t, 500, got.status)
	require.Len(t, got.body, 64<<10)
	require.Contains(t, do("want a key").failed(t, 503, api.ErrorCodeUnavailable), "credentials of its own")
	require.Contains(t, do("lead away").failed(t, 503, api.ErrorCodeUnavailable), "redirection")
	require.Equal(t, "text/plain; charset=utf-8", do("a page").header.Get("Content-Type"))
	require.Contains(t, do("nothing").failed(t, 503, api.ErrorCodeUnavailable), "did not begin to answer")
	a.post(user, path, `[1]`).failed(t, 400, api.ErrorCodeInvalidRequest)
	a.post(user, path, `{"do":"`+strings.Repeat("x", 1<<20)+`"}`).failed(t, 413, api.ErrorCodeTooLarge)
	for _, trick := range []string{"/v1/../../secrets", "/v1/chat/completions/../../x", "/v1//chat/completions", "/v1/files"} {
		require.Equal(t, 404, a.post(user, "/api/deployments/odd"+trick, "{}").status, trick)
	}

	send := func(what string) (*http.Response, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+path, strings.NewReader(fmt.Sprintf(`{"do":%q}`, what)))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+user.Config().BearerToken)
		response, err := a.client.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { cancel(); response.Body.Close() })
		return response, cancel
	}
	half, _ := send("too much")
	_, err = io.ReadAll(half.Body)
	require.Error(t, err, "what is cut does not look whole")
	endless, leave := send("for ever")
	_, err = io.ReadFull(endless.Body, make([]byte, 20))
	require.NoError(t, err, "it comes as it is said")
	leave()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the model goes on for nobody")
	}
	endless, _ = send("for ever")
	_, err = io.ReadAll(endless.Body)
	require.Error(t, err, "it takes too long")
	<-ended
}

func testChatRights(t *testing.T, k *live) {
	a := k.talk(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	viewer, stranger := k.somebody(t, namespace, "viewer", seeing), k.ServiceAccount(t, namespace, "stranger")
	user := k.somebody(t, namespace, "user", chatting)
	d := deployment(namespace, "kaito", "llama")
	d.Phase, d.Endpoint = api.PhasePending, &api.Endpoint{Service: "llama", Port: 80}
	a.put(d)
	path := "/api/deployments/llama/v1/completions"
	require.Contains(t, a.post(user, path, `{}`).failed(t, 409, api.ErrorCodeConflict), "Pending")
	d.Phase = api.PhaseRunning
	a.put(d)
	require.Contains(t, a.post(viewer, path, `{}`).failed(t, 403, api.ErrorCodeForbidden), "create services/proxy")
	a.post(stranger, path, `{}`).failed(t, 404, api.ErrorCodeNotFound)
	a.post(user, path, `{}`).failed(t, 503, api.ErrorCodeUnavailable)
	require.Equal(t, 401, a.ask(http.MethodPost, path, "Content-Type", "application/json").status)
	require.Contains(t, a.audit(), viewer.Name+" token chat deployment "+d.Id+" /v1/completions: Forbidden")
}

func testLogsOfAll(t *testing.T, k *live) {
	a := k.talk(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	reader := k.somebody(t, namespace, "reader", readingLog)
	d := deployment(namespace, "kaito", "llama")
	a.put(d, k.pod(t, d, "llama-0", "ready", running), k.pod(t, d, "llama-1", "ready", running), k.pod(t, d, "llama-2", "stuck", waiting))
	var l api.Logs
	require.Eventually(t, func() bool {
		l = a.logsAs(t, reader, d, "&allPods=true&timestamps=true&tailLines=500")
		return strings.Count(l.Logs, "[llama-0] ") > 2 && strings.Count(l.Logs, "[llama-1] ") > 2
	}, 30*time.Second, 200*time.Millisecond)
	var times []string
	for line := range strings.SplitSeq(strings.TrimSuffix(l.Logs, "\n"), "\n") {
		times = append(times, strings.Fields(line)[1])
	}
	require.True(t, slices.IsSortedFunc(times, func(a, b string) int {
		at, err := time.Parse(time.RFC3339Nano, a)
		require.NoError(t, err)
		bt, err := time.Parse(time.RFC3339Nano, b)
		require.NoError(t, err)
		return at.Compare(bt)
	}))
	require.Len(t, l.Pods, 3)
	require.Len(t, slices.DeleteFunc(l.Pods, func(s api.LogSource) bool { return s.Message == "" }), 1, "the one that has none says why")
	require.Equal(t, 2, strings.Count(a.logsAs(t, reader, d, "&allPods=true&tailLines=2").Logs, "\n"), "in all")
	require.Empty(t, a.logsAs(t, reader, d, "&podName=llama-0&since=2090-01-01T00:00:00Z").Logs)

	text := a.ask(http.MethodGet, "/api/deployments/llama/logs?allPods=true", "Authorization", "Bearer "+reader.Config().BearerToken, "Accept", "text/plain")
	require.Equal(t, "text/plain; charset=utf-8", text.header.Get("Content-Type"))
	require.Equal(t, `attachment; filename="llama.log"`, text.header.Get("Content-Disposition"))
	require.True(t, strings.HasPrefix(text.body, "[llama-"))
	e := a.as(reader, http.MethodGet, "/api/deployments/llama/logs?allPods=true&podName=llama-0&follow=true&previous=true&since=2026-01-01T00:00:00Z&sinceSeconds=4").failure(t)
	require.Len(t, e.Details, 3)
}

// listen follows logs.
func (a *acting) listen(who *devcluster.Identity, path string) *follower {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	a.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, http.NoBody)
	require.NoError(a.t, err)
	r.Header.Set("Authorization", "Bearer "+who.Config().BearerToken)
	response, err := a.client.Do(r)
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusOK, response.StatusCode)
	require.Equal(a.t, "text/event-stream", response.Header.Get("Content-Type"))
	f := &follower{t: a.t, reader: streamclient.NewReader(response.Body, "")}
	f.close = func() { cancel(); response.Body.Close() }
	a.t.Cleanup(f.close)
	return f
}

// until reads events up to one that is meant.
func (f *follower) hears(meant func(name, data string) bool) {
	f.t.Helper()
	for {
		e, err := f.reader.Next()
		require.NoError(f.t, err)
		if meant(e.Type, string(e.Data)) {
			return
		}
	}
}

func saying(name, part string) func(string, string) bool {
	return func(n, data string) bool { return n == name && strings.Contains(data, part) }
}

func testFollow(t *testing.T, k *live) {
	a := k.talk(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	reader := k.somebody(t, namespace, "reader", readingLog)
	d := deployment(namespace, "kaito", "llama")
	first := k.pod(t, d, "llama-0", "ready", running)
	a.put(d, first)
	f := a.listen(reader, "/api/deployments/llama/logs?follow=true&allPods=true")
	f.hears(saying("start", d.Id))
	f.hears(saying("pod", `"following"`))
	last := map[string]time.Time{}
	lines := func(pod string) func(string, string) bool {
		return func(name, data string) bool {
			var e api.LogLinesEvent
			if name != "lines" || json.Unmarshal([]byte(data), &e) != nil {
				return false
			}
			found := false
			for _, line := range e.Lines {
				require.False(t, line.Time.Before(last[line.Pod]), "its own order")
				last[line.Pod] = line.Time
				require.Equal(t, "model", line.Container)
				found = found || line.Pod == pod
			}
			return found
		}
	}
	f.hears(lines("llama-0"))
	second := k.pod(t, d, "llama-1", "ready", running)
	a.put(second)
	f.hears(lines("llama-1"))
	a.remove(api.PodKey(namespace, "llama-0"))
	f.hears(saying("pod", `"llama-0","state":"left"`))

	single := a.listen(reader, "/api/deployments/llama/logs?follow=true&tailLines=1&podName=llama-1")
	single.hears(saying("lines", "llama-1"))
	a.server.Close()
	f.hears(saying("bye", "shutdown"))
	single.hears(saying("bye", "shutdown"))
}

func testFollowRights(t *testing.T, k *live) {
	a := k.talk(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	viewer := k.somebody(t, namespace, "viewer", seeing)
	d := deployment(namespace, "kaito", "llama")
	a.put(d, k.pod(t, d, "llama-0", "ready", running))
	path := "/api/deployments/llama/logs?follow=true"
	require.Contains(t, a.as(viewer, http.MethodGet, path).failed(t, 403, api.ErrorCodeForbidden), "get pods/log")
	require.Contains(t, a.as(viewer, http.MethodGet, path+"&podName=x").failed(t, 403, api.ErrorCodeForbidden), "get pods/log")

	reader := k.ServiceAccount(t, namespace, "reader")
	k.BindIn(t, namespace, reader.Subject(), k.Role(t, "seer", seeing...))
	binding := k.BindIn(t, namespace, reader.Subject(), k.Role(t, "logs", rule("", "pods/log", "get")))
	require.Contains(t, a.as(reader, http.MethodGet, path+"&podName=x").failed(t, 400, api.ErrorCodeInvalidRequest), "not part of")
	f := a.listen(reader, path)
	f.hears(saying("lines", "llama-0"))
	binding.Revoke(t)
	began := time.Now()
	f.hears(saying("bye", "rights"))
	require.Less(t, time.Since(began), 45*time.Second)
}

// A container that writes as fast as it can, to somebody who reads nothing: the server holds little of it.
func testFollowSlowly(t *testing.T, _ *live) {
	var written atomic.Int64
	gone := make(chan struct{}, 1)
	chatty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/log") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
			return
		}
		line := []byte("2026-05-01T10:00:00Z " + strings.Repeat("x", 10_000) + "\n")
		for r.Context().Err() == nil {
			n, err := w.Write(line)
			written.Add(int64(n))
			if err != nil {
				break
			}
		}
		gone <- struct{}{}
	}))
	defer chatty.Close()
	config := away()
	config.Host = chatty.URL
	c := serve(t, func(_ *cluster, o *Options) { o.Identity = auth.NewUnchecked(config, "test") })
	c.beat()
	c.synced()
	d := deployment("ml", "kaito", "llama")
	p := pod("ml", "llama-0", d.Id)
	c.put(d, p)
	conn, err := net.Dial("tcp", c.address) //nolint:noctx // of a test
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/deployments/llama/logs?follow=true HTTP/1.1\r\nHost: %s\r\n\r\n", c.address)
	_, err = io.ReadFull(conn, make([]byte, 100))
	require.NoError(t, err)
	before := int64(-1)
	require.Eventually(t, func() bool {
		now := written.Load()
		stands := now == before && now > 0
		before = now
		return stands
	}, 20*time.Second, 300*time.Millisecond, "it stands still")
	require.Less(t, before, int64(32<<20))
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("upstream %d KiB, heap %d KiB", before>>10, memory.HeapAlloc>>10)
	conn.Close()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("it is read for nobody")
	}
}

func testEvents(t *testing.T, k *live) {
	a := k.talk(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	user := k.somebody(t, namespace, "user", chatting)
	viewer := k.somebody(t, namespace, "viewer", seeing)
	d := deployment(namespace, "kaito", "llama")
	d.Resource = api.ResourceRef{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces", Kind: "Workspace", Uid: "u1"}
	p := k.pod(t, d, "llama-0", "ready", running)
	a.put(d, p)
	event := func(name string, of corev1.ObjectReference, reason string, count int32, at time.Time) {
		of.Namespace = namespace
		_, err := k.core.CoreV1().Events(namespace).Create(t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, InvolvedObject: of, Type: "Warning", Reason: reason, Message: reason + " said",
			Count: count, FirstTimestamp: metav1.NewTime(at.Add(-time.Minute)), LastTimestamp: metav1.NewTime(at),
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	now := time.Now().Add(time.Hour).Truncate(time.Second)
	event("a", corev1.ObjectReference{Kind: "Workspace", Name: "llama", UID: "u1"}, "Newest", 2, now)
	event("b", corev1.ObjectReference{Kind: "Workspace", Name: "llama", UID: "u1"}, "Twice", 2, now.Add(-time.Minute))
	event("c", corev1.ObjectReference{Kind: "Workspace", Name: "llama", UID: "u1"}, "Twice", 3, now.Add(-2*time.Minute))
	event("d", corev1.ObjectReference{Kind: "Workspace", Name: "llama", UID: "u0"}, "OfOneBefore", 1, now)
	event("e", corev1.ObjectReference{Kind: "Workspace", Name: "llama-2", UID: "u2"}, "OfAnother", 1, now)
	event("f", corev1.ObjectReference{Kind: "Pod", Name: "llama-0"}, "OfThePod", 1, now.Add(-3*time.Minute))
	var got api.DeploymentEvents
	a.as(user, http.MethodGet, "/api/deployments/llama/events").into(t, &got)
	var reasons []string
	for _, e := range got.Events[:3] {
		reasons = append(reasons, fmt.Sprintf("%s %d", e.Reason, e.Count))
	}
	require.Equal(t, []string{"Newest 2", "Twice 5", "OfThePod 1"}, reasons)
	require.NotContains(t, fmt.Sprint(got), "OfAnother")
	require.NotContains(t, fmt.Sprint(got), "OfOneBefore")
	var one api.DeploymentEvents
	a.as(user, http.MethodGet, "/api/deployments/llama/events?limit=1").into(t, &one)
	require.Len(t, one.Events, 1)
	require.True(t, one.Truncated)
	require.Contains(t, a.as(viewer, http.MethodGet, "/api/deployments/llama/events").failed(t, 403, api.ErrorCodeForbidden), "cannot list resource \"events\"")
}

func testAikit(t *testing.T, k *live) {
	own := devcluster.Namespace(t, k.Cluster)
	runner := operations.New(operations.Options{Client: k.core, Namespace: own})
	t.Cleanup(runner.Close)
	a := k.talk(t, func(o *Options) { o.Operations, o.Namespace = runner, own })
	viewer := k.somebody(t, own, "viewer", seeing)
	admin := k.somebody(t, own, "admin", append(slices.Clone(readingLog), rule("batch", "jobs", "create", "get", "delete"), rule("", "services", "patch", "create"),
		rule("", "persistentvolumeclaims", "patch", "create"), rule("apps", "deployments", "get", "patch", "create")))

	var list api.AikitModelList
	a.as(viewer, http.MethodGet, "/api/aikit/models").into(t, &list)
	require.Equal(t, 10, list.Total)
	var one api.AikitModel
	a.as(viewer, http.MethodGet, "/api/aikit/models/llama3.2:1b").into(t, &one)
	require.Equal(t, "llama-3.2-1b-instruct", one.ModelName)
	require.Contains(t, a.as(viewer, http.MethodGet, "/api/aikit/models/x").failed(t, 404, api.ErrorCodeNotFound), "Premade model not found: x")

	// The same names as in a deployment that is to use the image.
	for _, file := range []string{"llama-2-7b.Q4_K_M.gguf", "Llama-2-7B-IQ2_XXS.gguf", "m-BF16.gguf", "plain.gguf"} {
		var preview api.AikitPreview
		a.post(viewer, "/api/aikit/build/preview", fmt.Sprintf(`{"modelSource":"huggingface","modelId":"TheBloke/Llama-2-7B-GGUF","ggufFile":%q}`, file)).into(t, &preview)
		require.True(t, preview.RequiresBuild)
		made, wrong := registry.Get("kaito").Build(&api.DeploymentConfig{
			Provider: "kaito", Name: "x", Namespace: "ml", ModelSource: "huggingface", GgufRunMode: "build", ModelId: "TheBloke/Llama-2-7B-GGUF", GgufFile: file, ComputeType: "cpu",
		})
		require.Empty(t, wrong)
		text, err := json.Marshal(made.Primary)
		require.NoError(t, err)
		require.Contains(t, string(text), fmt.Sprintf("%q", preview.ImageRef))
	}
	var build api.AikitBuild
	a.post(viewer, "/api/aikit/build", `{"modelSource":"premade","premadeModel":"phi4:14b"}`).into(t, &build)
	require.True(t, build.WasPremade)
	require.Contains(t, a.post(viewer, "/api/aikit/build", `{"modelSource":"premade"}`).failed(t, 400, api.ErrorCodeInvalidRequest), "premadeModel")
	require.Len(t, a.post(viewer, "/api/aikit/build", `{"modelSource":"huggingface","modelId":"a/b; rm -rf /","ggufFile":"$(x).gguf"}`).failure(t).Details, 2)
	const wish = `{"modelSource":"huggingface","modelId":"org/model","ggufFile":"model-Q4_K_M.gguf"}`
	require.Contains(t, a.post(viewer, "/api/aikit/build", wish).failed(t, 403, api.ErrorCodeForbidden), "create jobs.batch in the namespace "+own)
	a.as(viewer, http.MethodGet, "/api/aikit/infrastructure/status").failed(t, 403, api.ErrorCodeForbidden)
	a.as(viewer, http.MethodPost, "/api/aikit/infrastructure/setup").failed(t, 403, api.ErrorCodeForbidden)

	var status api.AikitInfrastructure
	a.as(admin, http.MethodGet, "/api/aikit/infrastructure/status").into(t, &status)
	require.False(t, status.Ready)
	require.True(t, status.Builder.Running)
	_, err := k.core.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{ // there is no provisioner here
		ObjectMeta: metav1.ObjectMeta{Name: own},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("50Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}},
			ClaimRef:               &corev1.ObjectReference{Namespace: own, Name: "kubefoundry-registry"},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	var setup api.AikitSetup
	a.as(admin, http.MethodPost, "/api/aikit/infrastructure/setup").into(t, &setup)
	require.True(t, setup.Success)
	require.True(t, setup.Registry.Ready, setup.Message)
	a.post(admin, "/api/aikit/build", wish).into(t, &build)
	require.True(t, build.Success)
	require.Equal(t, "localhost:30500/aikit-org-model:Q4_K_M", build.ImageRef)
	require.Positive(t, build.BuildTime)
}
