package huggingface

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

const token = "hf_secretOfAlice123"

func llama(id string, more ...any) map[string]any {
	m := map[string]any{
		"id": id, "pipeline_tag": "text-generation", "library_name": "transformers", "downloads": 7, "likes": 3, "gated": false,
		"config":      map[string]any{"architectures": []string{"LlamaForCausalLM"}},
		"safetensors": map[string]any{"parameters": map[string]int64{"BF16": 8030261248}, "total": int64(8030261248)},
	}
	for i := 0; i < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

// failure is the error that came, in our shape, without a secret.
func failure(t require.TestingT, err error, code api.ErrorCode) string {
	var e *api.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, e.Message)
	require.NotContains(t, fmt.Sprintf("%+v", e), token)
	require.NotEqual(t, http.StatusUnauthorized, e.StatusCode, "a client would throw its own login away")
	return e.Message
}

// TestPagesAreSlicesOfTheWhole: whatever Hugging Face's pages are, ours put together are all matches, each once, in order.
func TestPagesAreSlicesOfTheWhole(t *testing.T) {
	h := newHub(t)
	var fit, all []string
	for i := range 230 {
		m := llama(fmt.Sprintf("org/llama-%03d", i))
		if i%3 == 0 {
			m["pipeline_tag"] = "text-to-image"
		} else {
			fit = append(fit, m["id"].(string))
		}
		all = append(all, m["id"].(string))
		h.models = append(h.models, m)
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := h.client(t)
		every := rapid.Bool().Draw(rt, "all")
		want := fit
		if every {
			want = all
		}
		limit := rapid.IntRange(1, 50).Draw(rt, "limit")
		for range 3 {
			offset := rapid.IntRange(0, 250).Draw(rt, "offset")
			got, err := c.Search(t.Context(), Query{Words: "llama", Limit: limit, Offset: offset, IncludeIncompatible: every})
			require.NoError(rt, err)
			ids := []string{}
			for _, m := range got.Models {
				ids = append(ids, m.Id)
				require.Equal(rt, m.Compatible, m.IncompatibilityReason == "")
			}
			require.Equal(rt, want[min(offset, len(want)):min(offset+limit, len(want))], ids)
			require.Equal(rt, offset+limit < len(want), got.HasMore)
			require.LessOrEqual(rt, got.Total, len(want))
			if got.TotalIsExact {
				require.Equal(rt, len(want), got.Total)
			}
		}
	})
}

func TestASearchIsAskedOnceAndStopsSomewhere(t *testing.T) {
	h := newHub(t)
	for i := range 1500 {
		h.models = append(h.models, llama(fmt.Sprintf("org/llama-%04d", i), "pipeline_tag", "text-to-image"))
	}
	c := h.client(t)
	got, err := c.Search(t.Context(), Query{Words: "llama", Limit: 20})
	require.NoError(t, err)
	assert.Empty(t, got.Models)
	assert.NotNil(t, got.Models)
	assert.False(t, got.TotalIsExact)
	assert.NotEmpty(t, got.Incomplete)
	assert.Equal(t, 10, h.asked("/api/models"))
	_, err = c.Search(t.Context(), Query{Words: " LLAMA ", Limit: 20})
	require.NoError(t, err)
	assert.Equal(t, 10, h.asked("/api/models"), "it is known")

	h.models = []map[string]any{llama("org/tiny")}
	var together sync.WaitGroup
	for range 20 {
		together.Go(func() {
			got, err := c.Search(t.Context(), Query{Words: "tiny", Limit: 20})
			assert.NoError(t, err)
			assert.True(t, got.TotalIsExact)
			assert.Equal(t, 1, got.Total)
		})
	}
	together.Wait()
	assert.Equal(t, 11, h.asked("/api/models"), "twenty at once are one question")
}

// TestNobodySeesWhatAnothersTokenOpens, and a token goes to Hugging Face's own address only.
func TestNobodySeesWhatAnothersTokenOpens(t *testing.T) {
	h := newHub(t)
	elsewhere := newHub(t)
	h.tokens[token], h.tokens["hf_bob"] = "alice", "bob"
	h.models = []map[string]any{llama("alice/secret", "siblings", []any{map[string]any{"rfilename": "model.safetensors", "size": 100}})}
	h.private["alice/secret"] = "alice"
	c := h.client(t)
	for _, who := range []struct {
		token string
		sees  int
	}{{token, 1}, {"", 0}, {"hf_bob", 0}, {token, 1}} {
		got, err := c.Search(t.Context(), Query{Words: "secret", Limit: 5, Token: who.token})
		require.NoError(t, err)
		require.Len(t, got.Models, who.sees)
		_, err = c.Model(t.Context(), "alice/secret", who.token)
		if who.sees == 1 {
			require.NoError(t, err)
			continue
		}
		message := failure(t, err, api.ErrorCodeForbidden)
		require.Contains(t, message, h.web.URL+"/alice/secret", "where to ask for access")
	}
	h.instead(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.web.URL+"/api/models/x/y", http.StatusTemporaryRedirect)
	})
	_, err := c.Model(t.Context(), "x/y", token)
	failure(t, err, api.ErrorCodeUnavailable)
	require.Zero(t, elsewhere.asked("/"), "nothing goes elsewhere")

	h.models = append(h.models, llama("new/name"))
	h.instead(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/api/models/new/name", http.StatusTemporaryRedirect)
	})
	m, err := c.Model(t.Context(), "old/name", token)
	require.NoError(t, err)
	require.Equal(t, "new/name", m.Info.Id)
	for _, key := range append(c.kept.Keys(), c.searches.Keys()...) {
		require.NotContains(t, key, "hf_")
	}
}

func TestWhatGoesWrong(t *testing.T) {
	h := newHub(t)
	h.models = []map[string]any{llama("org/m")}
	search := func(c *Client, words, token string) error {
		_, err := c.Search(t.Context(), Query{Words: words, Limit: 5, Token: token})
		return err
	}
	c := h.client(t)
	assert.Contains(t, failure(t, search(c, "a", token), api.ErrorCodeInvalidRequest), "Hugging Face refuses the token")
	_, err := c.Model(t.Context(), "org/none", "")
	assert.Contains(t, failure(t, err, api.ErrorCodeNotFound), "org/none")
	for _, id := range []string{"", "../x", "a/b/c", "a b/c", "a/..b", "a/b?x", "-a/b", strings.Repeat("a", 200)} {
		_, err := c.Model(t.Context(), id, "")
		failure(t, err, api.ErrorCodeInvalidRequest)
	}
	failure(t, search(c, "x", "hf_a\r\nX-Evil: 1"), api.ErrorCodeInvalidRequest)

	// What is over soon is asked once more, what takes longer is not waited for, and no failure is kept.
	before := h.asked("/api/models")
	h.instead(status(http.StatusTooManyRequests, "Retry-After", "0"))
	require.NoError(t, search(c, "b", ""))
	h.instead(status(http.StatusInternalServerError))
	require.NoError(t, search(c, "c", ""))
	h.instead(status(http.StatusTooManyRequests, "Retry-After", "60"))
	assert.Contains(t, failure(t, search(c, "d", ""), api.ErrorCodeUnavailable), "Hugging Face")
	h.instead(status(http.StatusBadGateway))
	h.instead(status(http.StatusBadGateway))
	failure(t, search(c, "e", ""), api.ErrorCodeUnavailable)
	require.NoError(t, search(c, "e", ""))
	assert.Equal(t, before+8, h.asked("/api/models"))

	h.instead(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>sign in to the proxy")) })
	failure(t, search(c, "f", ""), api.ErrorCodeUnavailable)
	h.instead(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), smallLimit+10)) })
	_, err = c.WhoAmI(t.Context(), "hf_any")
	assert.Contains(t, failure(t, err, api.ErrorCodeUnavailable), "more than 1 MiB")

	hasty := h.client(t, func(o *Options) { o.Timeout = 50 * time.Millisecond })
	release := make(chan struct{})
	defer close(release)
	h.instead(slow(release))
	assert.Contains(t, failure(t, search(hasty, "g", ""), api.ErrorCodeUnavailable), "did not answer within 50ms")
	ctx, cancel := context.WithCancel(t.Context())
	h.instead(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	_, err = c.Search(ctx, Query{Words: "h", Limit: 1})
	failure(t, err, api.ErrorCodeUnavailable)

	h.web.Close()
	message := failure(t, search(c, "i", token), api.ErrorCodeUnavailable)
	assert.Contains(t, message, "Hugging Face")
	for _, base := range []string{"ftp://x", "huggingface.co", "https://user:pass@host", "https://h?q"} {
		_, err := New(Options{BaseURL: base})
		require.Error(t, err, base)
	}
}

func TestAssess(t *testing.T) {
	h := newHub(t)
	h.models = []map[string]any{
		llama("org/x-plain"),
		llama("org/x-gated", "gated", "manual"),
		llama("org/x-diffusers", "library_name", "diffusers"),
		llama("org/x-newer", "config", map[string]any{"architectures": []string{"BrandNewForCausalLM"}}),
		llama("org/x-8B-AWQ", "config", map[string]any{"architectures": []string{"LlamaForCausalLM"}, "quantization_config": map[string]any{"quant_method": "awq", "bits": 4}},
			"safetensors", map[string]any{"parameters": map[string]int64{"I32": 872415232, "F16": 1050939392}, "total": 1923354624}),
		llama("org/x-8B-GGUF", "library_name", "gguf", "safetensors", nil, "gguf", map[string]any{"total": 8030261248, "context_length": 131072}),
		llama("org/x-embed", "pipeline_tag", "sentence-similarity"),
		llama("org/x-nothing", "pipeline_tag", nil, "config", nil, "safetensors", nil, "library_name", nil),
	}
	got, err := h.client(t).Search(t.Context(), Query{Words: "x-", Limit: 50, IncludeIncompatible: true})
	require.NoError(t, err)
	by := map[string]api.HfModel{}
	for _, m := range got.Models {
		by[m.Name] = m
	}
	plain := by["x-plain"]
	assert.Equal(t, []any{"18GB", 18, int64(8030261248), "org", false, true}, []any{plain.EstimatedGpuMemory, plain.EstimatedGpuMemoryGb, plain.ParameterCount, plain.Author, plain.Gated, plain.Compatible})
	assert.Equal(t, []api.Engine{"vllm", "sglang", "trtllm"}, plain.SupportedEngines)
	assert.True(t, by["x-gated"].Gated)
	assert.Contains(t, by["x-diffusers"].IncompatibilityReason, "diffusers")
	assert.Contains(t, by["x-newer"].IncompatibilityReason, "BrandNewForCausalLM")
	awq := by["x-8B-AWQ"]
	assert.Equal(t, "awq-4bit", awq.Quantization)
	assert.InDelta(t, 8.03e9, awq.ParameterCount, 1e8, "eight weights lie in each element")
	assert.Equal(t, 6, awq.EstimatedGpuMemoryGb)
	gguf := by["x-8B-GGUF"]
	assert.Equal(t, []api.Engine{"llamacpp"}, gguf.SupportedEngines)
	assert.Zero(t, gguf.EstimatedGpuMemoryGb, "it depends on the file")
	assert.Contains(t, by["x-embed"].IncompatibilityReason, "sentence-similarity")
	assert.False(t, by["x-nothing"].Compatible)
}

func TestModel(t *testing.T) {
	h := newHub(t)
	file := func(name string, size int64) map[string]any { return map[string]any{"rfilename": name, "size": size} }
	h.models = []map[string]any{
		llama("org/m", "tags", []string{"license:llama3.1"}, "siblings", []any{
			file("config.json", 900), file("model-00001-of-00002.safetensors", 10<<30), file("model-00002-of-00002.safetensors", 5<<30),
			file("original/consolidated.safetensors", 15<<30),
		}),
		llama("org/g-GGUF", "library_name", "gguf", "safetensors", nil, "siblings", []any{
			file("g-Q8_0-00002-of-00002.gguf", 30), file("README.md", 1), file("g-Q8_0-00001-of-00002.gguf", 40), file("g.Q4_K_M.gguf", 5<<30),
		}),
	}
	h.files["/org/m/resolve/main/config.json"] = `{"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"hidden_size":4096,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}`
	c := h.client(t)
	m, err := c.Model(t.Context(), "org/m", "")
	require.NoError(t, err)
	memory := m.Shape.Memory(0, 1)
	assert.Equal(t, api.MemoryEstimateBasisFiles, memory.Basis)
	assert.InDelta(t, 15, memory.WeightsGb, 0.01)
	assert.InDelta(t, 1, memory.KvCacheGb, 0.01)
	assert.Equal(t, "8B", m.Info.Size)
	assert.Equal(t, "LicenseRef-llama3.1", m.Info.License)
	assert.Equal(t, 131072, m.Info.ContextLength)
	assert.Equal(t, 32, m.Shape.AttentionHeads)

	g, err := c.Model(t.Context(), "org/g-GGUF", "")
	require.NoError(t, err)
	assert.Equal(t, []api.GgufFile{
		{Name: "g-Q8_0-00001-of-00002.gguf", Quantization: "Q8_0", SizeBytes: 70, Parts: 2}, {Name: "g.Q4_K_M.gguf", Quantization: "Q4_K_M", SizeBytes: 5 << 30},
	}, g.Files)
	assert.Equal(t, []string{"g-Q8_0-00001-of-00002.gguf", "g-Q8_0-00002-of-00002.gguf", "g.Q4_K_M.gguf"}, g.Names)
	shape, ok := g.ShapeOf("")
	assert.True(t, ok)
	assert.InDelta(t, 5, shape.Memory(0, 1).WeightsGb, 0.01)
	_, ok = g.ShapeOf("none.gguf")
	assert.False(t, ok)
	asked := h.asked("/")
	_, err = c.Model(t.Context(), "org/m", "")
	require.NoError(t, err)
	assert.Equal(t, asked, h.asked("/"), "it is kept")
}

// TestLogin goes through the protocol: authorization code with PKCE, for a client without a secret.
func TestLogin(t *testing.T) {
	h := newHub(t)
	c := h.client(t)
	config, err := c.Login()
	require.NoError(t, err)
	const redirect = "https://kubefoundry.example/oauth/callback/huggingface"
	verifier := strings.Repeat("v", 43)
	request := api.HfTokenRequest{Code: h.authorize(config.AuthorizeUrl, redirect, verifier, token, "alice"), CodeVerifier: verifier, RedirectUri: redirect}
	got, err := c.Exchange(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, api.HfToken{
		AccessToken: token, TokenType: "Bearer", ExpiresIn: 28800, Scope: "openid profile read-repos",
		User: api.HfUser{Id: "id-alice", Name: "alice", Fullname: "alice", Email: "alice@example.org"},
	}, got)
	_, err = c.Exchange(t.Context(), request)
	failure(t, err, api.ErrorCodeInvalidRequest) // a code is for one use

	for _, change := range []func(*api.HfTokenRequest){
		func(r *api.HfTokenRequest) { r.CodeVerifier = strings.Repeat("w", 43) },
		func(r *api.HfTokenRequest) { r.RedirectUri = "https://evil.example/" },
		func(r *api.HfTokenRequest) { r.Code = "other" },
	} {
		wrong := api.HfTokenRequest{Code: h.authorize(config.AuthorizeUrl, redirect, verifier, token, "alice"), CodeVerifier: verifier, RedirectUri: redirect}
		change(&wrong)
		_, err := c.Exchange(t.Context(), wrong)
		assert.Contains(t, failure(t, err, api.ErrorCodeInvalidRequest), "Log in again", "%+v", wrong)
	}
	h.instead(status(http.StatusServiceUnavailable))
	_, err = c.Exchange(t.Context(), request)
	failure(t, err, api.ErrorCodeUnavailable)

	_, err = h.client(t, func(o *Options) { o.ClientID = "" }).Login()
	failure(t, err, api.ErrorCodeNotFound)
}
