package tenancy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// caller is somebody with a role.
type caller struct {
	role  string
	world *world
	who   *devcluster.Identity
	sees  *sees

	clients map[bool]*http.Client // by whether they go through the API server
	mu      sync.Mutex
	heard   []heard
	told    []told
}

// heard is an answer with the request that it was to, or a whole stream.
type heard struct{ request, text string }

// told is an answer with the request that it was to, without the way.
type told struct {
	method, path string
	answer
}

// way is how a caller reaches the server.
type way struct {
	name   string
	prefix string // of the path at the API server; empty: to the server itself
}

var (
	direct  = way{"direct", ""}
	through = way{"through the API server", aggregation.ProxyPath("")}
)

// verbs are what the API server takes methods for.
var verbs = map[string]string{
	http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// asking is a caller on a way.
type asking struct {
	*caller
	way way
}

func (c *caller) by(w way) asking { return asking{c, w} }

// passes asks the API server whether it lets the caller go this way.
func (a asking) passes(t *testing.T, method string) bool {
	t.Helper()
	if a.way == direct {
		return true
	}
	require.Contains(t, verbs, method)
	right := &authorizationv1.ResourceAttributes{
		Verb: verbs[method], Group: aggregation.Group, Version: aggregation.Version, Resource: "backends", Subresource: "proxy", Name: aggregation.Backend,
	}
	if a.way != through {
		right.Namespace = a.world.own
	}
	review, err := newClient(t, a.who.Config()).kube.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: right}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}

// request is a client, the address of a path, and the headers that are needed.
func (a asking) request(t testing.TB, path string) (*http.Client, string, []string) {
	t.Helper()
	config := a.who.Config()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.clients == nil {
		proxied, err := rest.HTTPClientFor(config)
		require.NoError(t, err)
		a.clients = map[bool]*http.Client{false: a.world.i.client(), true: proxied}
	}
	if a.way == direct {
		return a.clients[false], a.world.i.url + path, []string{"Authorization", "Bearer " + config.BearerToken}
	}
	return a.clients[true], config.Host + a.way.prefix + path, nil
}

// ask sends a request and remembers what comes back.
func (a asking) ask(t testing.TB, method, path string, header ...string) answer {
	t.Helper()
	return a.send(t, method, path, nil, header...)
}

// send is ask with a body.
func (a asking) send(t testing.TB, method, path string, body any, header ...string) answer {
	t.Helper()
	text := jsonOf(t, body)
	client, url, credentials := a.request(t, path)
	got := send(t.Context(), t, client, method, url, text, append(credentials, header...)...)
	a.hear(method+" "+a.way.prefix+path+" "+text, fmt.Sprint(got.header)+"\n"+got.body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, told{method, path, got})
	return got
}

// jsonOf is a body; text is one as it stands, nil is none.
func jsonOf(t testing.TB, body any) string {
	t.Helper()
	switch body := body.(type) {
	case nil:
		return ""
	case string:
		return body
	}
	b, err := json.Marshal(body)
	require.NoError(t, err)
	return string(b)
}

func (a asking) post(t testing.TB, path string, body any) answer {
	t.Helper()
	return a.send(t, http.MethodPost, path, body)
}

func (a asking) get(t testing.TB, path string) answer {
	t.Helper()
	return a.ask(t, http.MethodGet, path)
}

func (c *caller) hear(request, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, heard{request, text})
}

// reveal looks through everything that the caller was ever told for names of what kubectl does not show them. A name that
// they asked for may come back.
func (c *caller) reveal(t *testing.T) {
	t.Helper()
	secrets := c.world.secrets(t, c.sees)
	if len(c.sees.deployments) < len(c.world.all(t)) {
		require.NotEmpty(t, secrets, c.role)
	}
	require.NotEmpty(t, c.heard)
	for _, h := range c.heard {
		for _, secret := range secrets {
			if strings.Contains(h.text, secret) && !strings.Contains(h.request, secret) {
				assert.Fail(t, "a secret is out", "%s may not know of %s: %s\n%s", c.role, secret, h.request, around(h.text, secret))
			}
		}
	}
}

func around(text, what string) string {
	at := strings.Index(text, what)
	return text[max(0, at-200):min(len(text), at+200)]
}

// secrets are the names of everything that somebody may not see: of namespaces, deployments, models, pods, nodes and pools.
func (w *world) secrets(t *testing.T, s *sees) []string {
	t.Helper()
	shown := strings.Join(s.text, "\n")
	var all []string
	for _, d := range w.known {
		if !s.sees(d) {
			all = append(all, d.namespace, d.name, d.model)
		}
	}
	for namespace, names := range w.pods.names() {
		if s.pods[namespace] {
			shown += strings.Join(names, "\n")
		}
		all = append(all, names...)
	}
	admin := w.adminCaller.by(direct)
	for _, d := range read[api.DeploymentList](t, admin.get(t, "/api/deployments")).Deployments {
		all = append(all, d.Namespace, d.Name, d.ModelId)
	}
	for _, n := range read[api.NodeList](t, admin.get(t, "/api/cluster/nodes?includeCordoned=true")).Nodes {
		all = append(all, n.Name, n.Pool)
	}
	constants := []string{""} // where a runtime goes when it is installed is told to everybody
	for _, r := range registry.All() {
		constants = append(constants, r.Info().DefaultNamespace)
	}
	for _, catalogue := range []string{"/api/models", "/api/aikit/models"} { // so is which models KubeFoundry offers
		shown += admin.get(t, catalogue).body
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool {
		return slices.Contains(constants, name) || strings.Contains(shown, name)
	})
}

// read decodes an answer that has to be 200.
func read[T any](t require.TestingT, a answer) T {
	var body T
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.NoError(t, json.Unmarshal([]byte(a.body), &body), a.body)
	return body
}

// refusal decodes an answer that has to be an error.
func refusal(t require.TestingT, a answer, status int) api.Error {
	var body api.ErrorBody
	require.Equal(t, status, a.status, a.body)
	require.NoError(t, json.Unmarshal([]byte(a.body), &body), a.body)
	require.Equal(t, status, body.Error.StatusCode, a.body)
	return body.Error
}
