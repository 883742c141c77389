package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/huggingface"
	"github.com/kubefoundry/kubefoundry/internal/settings"
)

// hub answers as Hugging Face does and keeps what it was sent.
type hub struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string // every request, whole
}

const (
	hubTokenOfAlice = "hf_aliceAlice"
	hubModel        = `{"id":"org/m-8B","pipeline_tag":"text-generation","library_name":"transformers","config":{"architectures":["LlamaForCausalLM"]},` +
		`"safetensors":{"parameters":{"BF16":8030261248},"total":8030261248},"siblings":[{"rfilename":"b.Q8_0.gguf","size":8},{"rfilename":"a.Q4_K_M.gguf","size":5}]}`
)

func newHub(t testing.TB) (*hub, *huggingface.Client) {
	t.Helper()
	h := &hub{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.sent = append(h.sent, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, " ", string(body)))
		h.mu.Unlock()
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case token != "" && token != hubTokenOfAlice:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/api/whoami-v2" && token != "":
			_, _ = w.Write([]byte(`{"id":"1","name":"alice","fullname":"Alice"}`))
		case r.URL.Path == "/oauth/token":
			_, _ = w.Write([]byte(`{"access_token":"` + hubTokenOfAlice + `","token_type":"bearer"}`))
		case r.URL.Path == "/api/models":
			_, _ = w.Write([]byte("[" + hubModel + "]"))
		case r.URL.Path == "/api/models/org/m-8B":
			_, _ = w.Write([]byte(hubModel))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(h.Close)
	client, err := huggingface.New(huggingface.Options{BaseURL: h.URL, ClientID: "app", Transport: &http.Transport{}})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return h, client
}

func (h *hub) heard() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.sent, "\n")
}

func withHub(client *huggingface.Client) func(*cluster, *Options) {
	return func(_ *cluster, o *Options) { o.HuggingFace = client }
}

// send is ask with a body.
func (c *cluster) send(method, path, body string, header ...string) answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader([]byte(body)))
	require.NoError(c.t, err)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(r)
}

// TestAModelsIDMayStandInThePath, escaped or not, as clients have always sent it.
func TestAModelsIDMayStandInThePath(t *testing.T) {
	_, client := newHub(t)
	c := serve(t, withHub(client)).fill()
	for _, path := range []string{"/api/models/Qwen/Qwen3-0.6B", "/api/models/Qwen%2FQwen3-0.6B", "/api/models/info?id=Qwen/Qwen3-0.6B", "/api/models/Qwen%2fQwen3-0.6B?x=y"} {
		var info api.ModelInfo
		c.get(path).into(t, &info)
		require.Equal(t, "Qwen/Qwen3-0.6B", info.Id)
		require.Equal(t, api.ModelInfoSourceCatalogue, info.Source)
		require.True(t, info.Memory.Known)
	}
	for _, path := range []string{"/api/models/org/m-8B/gguf-files", "/api/models/org%2Fm-8B/gguf-files", "/api/models/gguf-files?id=org%2Fm-8B"} {
		var files api.GgufFiles
		c.get(path).into(t, &files)
		require.Equal(t, []string{"a.Q4_K_M.gguf", "b.Q8_0.gguf"}, files.Files)
	}
	var info api.ModelInfo
	c.get("/api/models/org/m-8B").into(t, &info)
	require.Equal(t, api.ModelInfoSourceHuggingface, info.Source)
	require.Equal(t, 200, c.ask(http.MethodHead, "/api/models/org/m-8B").status)
	require.Contains(t, c.get("/api/models/none/such").failed(t, 404, api.ErrorCodeNotFound), "Model not found")
	require.Equal(t, 405, c.ask(http.MethodDelete, "/api/models/org/m-8B").status)
	for _, path := range []string{"/api/models/", "/api/models/..%2f..%2fx", "/api/models/a%00b", "/api/models/a//b", "/api/models/" + strings.Repeat("a", 300), "/api/models/a%26id=b"} {
		require.Contains(t, []int{400, 404}, c.get(path).status, path)
	}
	var list api.ModelList
	c.get("/api/models").into(t, &list)
	require.GreaterOrEqual(t, len(list.Models), 18)
	for _, m := range list.Models {
		require.NotNil(t, m.MinGpus)
		require.NotEmpty(t, m.SupportedEngines)
	}
	require.Contains(t, serve(t).get("/api/models/search?q=llama").failed(t, 503, api.ErrorCodeUnavailable), "Hugging Face")
}

func TestFitAgainstTheCluster(t *testing.T) {
	_, client := newHub(t)
	c := serve(t, withHub(client)).fill()
	h100 := node("gpu-h", 8, 6)
	h100.GpuProduct, h100.GpuMemoryGb, h100.Pool = "NVIDIA-H100-80GB-HBM3", 80, "h100"
	c.put(h100)
	var fit api.ModelFit
	c.get("/api/models/fit?model=meta-llama/Llama-3.3-70B-Instruct").into(t, &fit)
	by := map[string]api.ClusterFit{}
	for _, f := range fit.Cluster {
		by[f.Product] = f
	}
	require.Equal(t, api.FitVerdictFitsWhenScaled, by[h100.GpuProduct].Verdict, by[h100.GpuProduct].Reason)
	require.Equal(t, 4, *by[h100.GpuProduct].Gpus)
	require.Equal(t, []string{"h100"}, by[h100.GpuProduct].Pools)
	require.Equal(t, api.FitVerdictUnknown, by[""].Verdict)
	require.NotEmpty(t, fit.Products)
	c.get("/api/models/fit?model=org/m-8B&contextLength=1000&file=b.Q8_0.gguf").into(t, &fit)
	require.Equal(t, "Q8_0", fit.Memory.Quantization)
	c.get("/api/models/fit?model=org/m-8B&file=none.gguf").failed(t, 404, api.ErrorCodeNotFound)
	c.get("/api/models/fit?model=kaito/gpt-oss-20b").into(t, &fit)
	require.Contains(t, fit.Memory.Notes[0], "CPU")
	require.Len(t, c.get("/api/models/fit?contextLength=0").failure(t).Details, 2)
	unsynced := serve(t)
	unsynced.beat()
	unsynced.get("/api/models/fit?model=Qwen/Qwen3-0.6B").failed(t, 503, api.ErrorCodeNotSynced)
}

// TestWhoseTokenGoesToHuggingFace: the one that was meant for it, and no other.
func TestWhoseTokenGoesToHuggingFace(t *testing.T) {
	h, client := newHub(t)
	c := serve(t, withHub(client)).fill()
	search := func(q string, header ...string) answer { return c.get("/api/models/search?q="+q, header...) }
	require.Equal(t, 200, search("aa", "Authorization", "Bearer cluster-token").status)
	require.Equal(t, 200, search("bb", "Authorization", "Bearer "+hubTokenOfAlice).status)
	require.Equal(t, 200, search("cc", "X-HF-Token", hubTokenOfAlice, "Authorization", "Bearer hf_other").status)
	require.NotContains(t, h.heard(), "cluster-token")
	require.NotContains(t, h.heard(), "hf_other")
	require.Equal(t, 2, strings.Count(h.heard(), hubTokenOfAlice))
	message := search("dd", "X-HF-Token", "hf_wrongWrong")
	require.Contains(t, message.failed(t, 400, api.ErrorCodeInvalidRequest), "Hugging Face refuses the token")
	require.NotContains(t, message.body, "hf_wrong")
	var found api.HfModelSearch
	search("aa").into(t, &found)
	require.Equal(t, []any{1, true, false, "aa"}, []any{found.Total, found.TotalIsExact, found.HasMore, found.Query})
}

func TestWhereALoginMayLeadBackTo(t *testing.T) {
	h, client := newHub(t)
	c := serve(t, withHub(client), func(_ *cluster, o *Options) {
		o.Redirects, o.Browser.Origins = []string{"https://headlamp.example"}, []string{"https://ui.example"}
	})
	var login api.HfOAuthConfig
	c.get("/api/oauth/huggingface/config").into(t, &login)
	require.Equal(t, api.HfOAuthConfig{ClientId: "app", AuthorizeUrl: h.URL + "/oauth/authorize", Scopes: []string{"openid", "profile", "read-repos"}}, login)
	exchange := func(redirect string) answer {
		body, err := json.Marshal(api.HfTokenRequest{Code: "c", CodeVerifier: strings.Repeat("v", 43), RedirectUri: redirect})
		require.NoError(t, err)
		return c.send(http.MethodPost, "/api/oauth/huggingface/token", string(body))
	}
	for _, redirect := range []string{c.url + "/oauth/callback/huggingface", "https://headlamp.example/x", "https://UI.example/y"} {
		var token api.HfToken
		a := exchange(redirect)
		a.into(t, &token)
		require.Equal(t, hubTokenOfAlice, token.AccessToken)
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	}
	before := h.heard()
	for _, redirect := range []string{"https://evil.example/", "javascript:alert(1)", "//headlamp.example", "https://a@headlamp.example/", "https://headlamp.example.evil.example/", "http://headlamp.example/"} {
		require.Equal(t, "redirectUri", exchange(redirect).failure(t).Details[0].Field, redirect)
	}
	require.Len(t, c.send(http.MethodPost, "/api/oauth/huggingface/token", `{"code":"","codeVerifier":"short"}`).failure(t).Details, 3, "everything at once")
	require.Equal(t, before, h.heard(), "none of these was sent on")
}

var tokens = []rbacv1.PolicyRule{rule("", "secrets", "get", "create", "patch", "delete")}

// testTokenSecrets puts tokens into namespaces as callers with other rights in each.
func testTokenSecrets(t *testing.T, k *live) {
	h, client := newHub(t)
	a := k.serve(t)
	a.server.huggingFace = client
	mine, theirs := devcluster.Namespace(t, k.Cluster), devcluster.Namespace(t, k.Cluster)
	who := k.somebody(t, mine, "who", append(seeing, tokens...))
	viewer := k.somebody(t, mine, "viewer", seeing)
	a.put(deployment(mine, "kaito", "d"))
	put := func(as *devcluster.Identity, body string) answer {
		return a.send(http.MethodPost, "/api/secrets/huggingface", body, "Authorization", "Bearer "+as.Config().BearerToken)
	}
	status := func(as *devcluster.Identity) map[string]api.HfSecretNamespace {
		var s api.HfSecretStatus
		a.as(as, http.MethodGet, "/api/secrets/huggingface/status").into(t, &s)
		by := map[string]api.HfSecretNamespace{}
		for _, n := range s.Namespaces {
			by[n.Name] = n
		}
		return by
	}
	secret := func(namespace string) *corev1.Secret {
		s, err := k.core.CoreV1().Secrets(namespace).Get(t.Context(), "hf-token-secret", metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return s
	}
	require.Equal(t, api.HfSecretNamespaceStateAbsent, status(who)[mine].State)
	require.Equal(t, api.HfSecretNamespaceStateUnknown, status(viewer)[mine].State, "who may not look is not told that there is none")

	var result api.HfSecretResult
	token := `"accessToken":"` + hubTokenOfAlice + `"`
	put(who, "{"+token+"}").into(t, &result)
	require.Equal(t, []api.HfNamespaceResult{{Namespace: mine, Success: true}}, result.Results, result.Message)
	require.True(t, result.Success)
	require.Equal(t, "alice", result.User.Name)
	made := secret(mine)
	require.Equal(t, hubTokenOfAlice, string(made.Data["HF_TOKEN"]))
	require.Equal(t, corev1.SecretTypeOpaque, made.Type)
	require.Equal(t, map[string]string{"app.kubernetes.io/managed-by": "kubefoundry", "kubefoundry.io/secret-type": "huggingface-token"}, made.Labels)
	require.Contains(t, fmt.Sprint(a.audit()), who.Name+" token write secrets "+mine+"/hf-token-secret: done")

	a.as(who, http.MethodGet, "/api/secrets/huggingface/status").into(t, &api.HfSecretStatus{})
	var s api.HfSecretStatus
	answer := a.as(who, http.MethodGet, "/api/secrets/huggingface/status")
	answer.into(t, &s)
	require.True(t, s.Configured)
	require.Equal(t, "alice", s.User.Name)
	require.NotContains(t, answer.body, hubTokenOfAlice)

	// Some may fail: each says so.
	result = api.HfSecretResult{}
	put(who, `{`+token+`,"namespaces":["`+mine+`","`+theirs+`"]}`).into(t, &result)
	require.False(t, result.Success)
	by := map[string]api.HfNamespaceResult{}
	for _, r := range result.Results {
		by[r.Namespace] = r
	}
	require.True(t, by[mine].Success)
	require.Contains(t, by[theirs].Error, "forbidden")
	require.Nil(t, secret(theirs))

	// All failed is an error.
	e := put(who, `{`+token+`,"namespaces":["`+theirs+`"]}`).failure(t)
	require.Equal(t, api.ErrorCodeForbidden, e.Code)
	require.Equal(t, theirs, e.Details[0].Field)
	put(viewer, "{"+token+"}").failed(t, 403, api.ErrorCodeForbidden)
	require.Contains(t, put(who, `{"accessToken":"hf_wrongWrong"}`).failed(t, 400, api.ErrorCodeInvalidRequest), "Invalid HuggingFace token")
	require.Equal(t, 400, put(who, `{"accessToken":"x","namespaces":["Bad NS"],"more":1}`).status)
	require.NotContains(t, h.heard(), who.Config().BearerToken, "no token of the cluster goes out")
	for _, entry := range a.log.All() {
		require.NotContains(t, fmt.Sprint(entry), "hf_")
	}

	t.Run("namespaces come into being only where that is asked for", func(t *testing.T) {
		admin := k.ServiceAccount(t, mine, "admin")
		k.Bind(t, admin.Subject(), "cluster-admin")
		fresh := mine + "-new"
		t.Cleanup(func() { _ = k.core.CoreV1().Namespaces().Delete(context.Background(), fresh, metav1.DeleteOptions{}) })
		put(admin, `{`+token+`,"namespaces":["`+fresh+`"]}`).failed(t, 404, api.ErrorCodeNotFound)
		var result api.HfSecretResult
		put(admin, `{`+token+`,"namespaces":["`+fresh+`"],"createNamespaces":true}`).into(t, &result)
		require.True(t, result.Success)
		require.NotNil(t, secret(fresh))
	})
	t.Run("what somebody else made stays", func(t *testing.T) {
		foreign := devcluster.Namespace(t, k.Cluster)
		k.BindIn(t, foreign, who.Subject(), k.Role(t, "tokens", tokens...))
		_, err := k.core.CoreV1().Secrets(foreign).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "hf-token-secret"}, Data: map[string][]byte{"HF_TOKEN": []byte("theirs")},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		named := `,"namespaces":["` + foreign + `"]`
		put(who, `{`+token+named+`}`).failed(t, 409, api.ErrorCodeConflict)
		a.as(who, http.MethodDelete, "/api/secrets/huggingface?namespaces="+foreign).failed(t, 409, api.ErrorCodeConflict)
		require.Equal(t, "theirs", string(secret(foreign).Data["HF_TOKEN"]))
		put(who, `{`+token+named+`,"overwrite":true}`).into(t, &api.HfSecretResult{})
		require.Equal(t, hubTokenOfAlice, string(secret(foreign).Data["HF_TOKEN"]))
	})
	t.Run("removal", func(t *testing.T) {
		a.as(viewer, http.MethodDelete, "/api/secrets/huggingface").failed(t, 403, api.ErrorCodeForbidden)
		require.NotNil(t, secret(mine))
		for range 2 { // again is a success too
			var result api.HfSecretResult
			a.as(who, http.MethodDelete, "/api/secrets/huggingface").into(t, &result)
			require.True(t, result.Success)
			require.Nil(t, secret(mine))
		}
	})
	t.Run("no Kubernetes API", func(t *testing.T) {
		a.server.identity = changed{a.identity, func(c *rest.Config) { c.Host = "https://127.0.0.1:1" }}
		a.as(who, http.MethodGet, "/api/secrets/huggingface/status").failed(t, 503, api.ErrorCodeUnavailable)
		a.as(who, http.MethodDelete, "/api/secrets/huggingface").failed(t, 503, api.ErrorCodeUnavailable)
		put(who, "{"+token+"}").failed(t, 503, api.ErrorCodeUnavailable)
	})
}

// testSettings is about who sees and changes what is set.
func testSettings(t *testing.T, k *live) {
	a := k.serve(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	store, err := settings.New(settings.Options{Config: k.Config(), Namespace: namespace, Providers: []string{"dynamo", "kuberay", "kaito"}, Logger: zap.NewNop()})
	require.NoError(t, err)
	a.server.settings = store
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = store.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	require.Eventually(t, func() bool { return store.Get().State.Synced }, 20*time.Second, 5*time.Millisecond)
	changer := k.somebody(t, namespace, "changer", []rbacv1.PolicyRule{rule("", "configmaps", "get", "create", "update")})
	anybody := k.ServiceAccount(t, namespace, "anybody")
	change := func(as *devcluster.Identity, body string) answer {
		return a.send(http.MethodPut, "/api/settings", body, "Authorization", "Bearer "+as.Config().BearerToken)
	}

	var written api.SettingsChanged
	change(changer, `{"defaultNamespace":"ml"}`).into(t, &written)
	require.Equal(t, "Settings updated successfully", written.Message)
	var got api.Settings
	a.as(anybody, http.MethodGet, "/api/settings").into(t, &got)
	require.Equal(t, "ml", got.Config.DefaultNamespace, "whoever writes and then reads gets what they wrote")
	require.Equal(t, written.ResourceVersion, got.ResourceVersion)
	require.True(t, got.Auth.Enabled)
	require.Len(t, got.Providers, 3)
	for name, header := range map[string][]string{"nobody": nil, "somebody unknown": {"Authorization", "Bearer nonsense"}} {
		got = api.Settings{}
		a.get("/api/settings", header...).into(t, &got)
		require.Equal(t, api.Settings{Providers: got.Providers, Auth: got.Auth}, got, "%s is told nothing else", name)
		require.True(t, got.Auth.Enabled)
		require.Len(t, got.Providers, 3)
	}
	require.Equal(t, 401, a.send(http.MethodPut, "/api/settings", `{}`).status)
	change(anybody, `{"defaultNamespace":"x"}`).failed(t, 403, api.ErrorCodeForbidden)
	require.Contains(t, change(changer, `{"defaultNamespace":"x","resourceVersion":"1"}`).failed(t, 409, api.ErrorCodeConflict), "read /api/settings again")
	require.Contains(t, change(changer, `{"deafultNamespace":"x"}`).failed(t, 400, api.ErrorCodeInvalidRequest), "deafultNamespace")
	require.Len(t, change(changer, `{"defaultNamespace":"Bad NS!!","activeProviderId":7}`).failure(t).Details, 2)
	require.Contains(t, change(changer, `{"activeProviderId":"none"}`).failed(t, 400, api.ErrorCodeInvalidRequest), "dynamo, kuberay, kaito")

	var details api.ProviderDetails
	a.as(anybody, http.MethodGet, "/api/settings/providers/kaito").into(t, &details)
	require.Equal(t, api.CrdConfig{ApiGroup: "kaito.sh", ApiVersion: details.CrdConfig.ApiVersion, Plural: "workspaces", Kind: "Workspace"}, details.CrdConfig)
	require.Contains(t, a.as(anybody, http.MethodGet, "/api/settings/providers/none").failed(t, 404, api.ErrorCodeNotFound), "Provider not found: none")
	require.Equal(t, 401, a.get("/api/settings/providers").status)
	require.Contains(t, fmt.Sprint(a.audit()), "change settings "+namespace+"/kubefoundry-config: Conflict")
}

func TestSettingsWithoutAuthentication(t *testing.T) {
	var got api.Settings
	serve(t).get("/api/settings").into(t, &got)
	require.False(t, got.Auth.Enabled)
	require.False(t, got.State.Synced, "that none are known is said")
	require.NotEmpty(t, got.State.Error)
}
