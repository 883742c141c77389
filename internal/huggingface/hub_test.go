package huggingface

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hub speaks Hugging Face's protocol, as far as it is used.
type hub struct {
	t   *testing.T
	web *httptest.Server

	mu       sync.Mutex
	models   []map[string]any // in the order of searches
	files    map[string]string
	tokens   map[string]string // to user names
	private  map[string]string // models to the user who may read them
	logins   map[string]login  // codes
	requests []*http.Request
	// next answers the next requests, one each, in place of the protocol.
	next []func(w http.ResponseWriter, r *http.Request)
}

type login struct{ client, redirect, challenge, token string }

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{t: t, files: map[string]string{}, tokens: map[string]string{}, private: map[string]string{}, logins: map[string]login{}}
	h.web = httptest.NewServer(h)
	t.Cleanup(h.web.Close)
	return h
}

func (h *hub) client(t *testing.T, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{BaseURL: h.web.URL, ClientID: "app", Transport: &http.Transport{}}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func (h *hub) instead(answer func(w http.ResponseWriter, r *http.Request)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = append(h.next, answer)
}

func (h *hub) asked(path string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if strings.HasPrefix(r.URL.Path, path) {
			n++
		}
	}
	return n
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.requests = append(h.requests, r)
	if len(h.next) > 0 {
		answer := h.next[0]
		h.next = h.next[1:]
		h.mu.Unlock()
		answer(w, r)
		return
	}
	defer h.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	user := h.tokens[token]
	if token != "" && user == "" {
		refuse(w, http.StatusUnauthorized, "", "Invalid credentials in Authorization header")
		return
	}
	switch {
	case r.URL.Path == "/api/models":
		h.search(w, r, user)
	case r.URL.Path == "/api/whoami-v2":
		if user == "" {
			refuse(w, http.StatusUnauthorized, "", "Unauthorized")
			return
		}
		reply(w, map[string]any{"type": "user", "id": "id-" + user, "name": user, "fullname": "", "email": user + "@example.org", "auth": map[string]any{"accessToken": map[string]any{"role": "read"}}})
	case r.URL.Path == "/oauth/token":
		h.exchange(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/models/"):
		h.model(w, strings.TrimPrefix(r.URL.Path, "/api/models/"), user)
	default:
		content, ok := h.files[r.URL.Path]
		if !ok {
			refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
			return
		}
		_, _ = w.Write([]byte(content))
	}
}

func (h *hub) model(w http.ResponseWriter, id, user string) {
	if owner, ok := h.private[id]; ok && owner != user {
		if user == "" {
			refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to model is restricted")
			return
		}
		refuse(w, http.StatusForbidden, "GatedRepo", "not in the authorized list")
		return
	}
	for _, m := range h.models {
		if m["id"] == id {
			reply(w, m)
			return
		}
	}
	if user == "" {
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Invalid username or password.")
		return
	}
	refuse(w, http.StatusNotFound, "RepoNotFound", "Repository not found")
}

func (h *hub) search(w http.ResponseWriter, r *http.Request, user string) {
	q := r.URL.Query()
	var found []map[string]any
	for _, m := range h.models {
		id := m["id"].(string)
		if owner, ok := h.private[id]; ok && owner != user {
			continue
		}
		if strings.Contains(strings.ToLower(id), strings.ToLower(q.Get("search"))) {
			found = append(found, m)
		}
	}
	limit, _ := strconv.Atoi(q.Get("limit"))
	from, _ := strconv.Atoi(strings.TrimPrefix(q.Get("cursor"), "at="))
	to := min(from+limit, len(found))
	if to < len(found) {
		q.Set("cursor", fmt.Sprintf("at=%d", to))
		// As the real one it is absolute; that it leads elsewhere must not matter.
		w.Header().Set("Link", `<https://elsewhere.example/api/models?`+q.Encode()+`>; rel="next"`)
	}
	reply(w, append([]map[string]any{}, found[from:to]...))
}

// exchange is RFC 6749 section 4.1.3 with RFC 7636.
func (h *hub) exchange(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.ParseForm() != nil || r.PostForm.Get("grant_type") != "authorization_code" {
		refuse(w, http.StatusBadRequest, "", "invalid_request")
		return
	}
	l, ok := h.logins[r.PostForm.Get("code")]
	delete(h.logins, r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || l.client != r.PostForm.Get("client_id") || l.redirect != r.PostForm.Get("redirect_uri") || l.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": "Invalid code or code verifier"})
		return
	}
	reply(w, map[string]any{"access_token": l.token, "token_type": "bearer", "expires_in": 28800, "scope": "openid profile read-repos", "id_token": "x.y.z"})
}

// authorize is somebody who logs in: they are sent to the page with a code.
func (h *hub) authorize(authorizeURL, redirect, verifier, token, user string) (code string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := sha256.Sum256([]byte(verifier))
	u, err := url.Parse(authorizeURL)
	require.NoError(h.t, err)
	require.Equal(h.t, "/oauth/authorize", u.Path)
	code = fmt.Sprintf("code-%d", len(h.logins))
	h.logins[code] = login{"app", redirect, base64.RawURLEncoding.EncodeToString(sum[:]), token}
	h.tokens[token] = user
	return code
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	if code != "" {
		w.Header().Set("X-Error-Code", code)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func slow(until <-chan struct{}) func(http.ResponseWriter, *http.Request) {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-until:
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}
}
