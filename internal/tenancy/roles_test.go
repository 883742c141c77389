package tenancy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/kubefoundry/kubefoundry/httpapi"
	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// role is rights that somebody may have. What comes of them is nowhere written down here: the API server is asked.
type role struct {
	name  string
	grant func(g granter)
}

// granter gives rights to one identity: in the namespace that is theirs, or everywhere.
type granter struct {
	t       *testing.T
	cluster *devcluster.Cluster
	who     rbacv1.Subject
	own     string
}

func (g granter) here(role string)       { g.cluster.BindIn(g.t, g.own, g.who, role) }
func (g granter) everywhere(role string) { g.cluster.Bind(g.t, g.who, role) }

// to is a role with some verbs on some resources, each as resource.group.
func (g granter) to(verbs []string, resources ...rbacv1.PolicyRule) string {
	for i := range resources {
		resources[i].Verbs = verbs
	}
	return g.cluster.Role(g.t, "half", resources...)
}

var (
	workspaces = rbacv1.PolicyRule{APIGroups: []string{"kaito.sh"}, Resources: []string{"workspaces"}}
	pods       = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}}
	nodes      = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}}
	list       = []string{"list"}
)

var roles = []role{
	{"none", func(granter) {}},
	{"viewer", func(g granter) { g.here("view") }},
	{"editor", func(g granter) { g.here("edit") }},
	{"cluster-viewer", func(g granter) { g.everywhere("view") }},
	{"node-viewer", func(g granter) { g.everywhere(g.to(list, nodes)) }},
	{"admin", func(g granter) { g.everywhere("cluster-admin") }},
	// Halves: a document tells of two resources, and shows only to those who may list both.
	{"workspaces-only", func(g granter) { g.here(g.to(list, workspaces)) }},
	{"pods-only", func(g granter) { g.here(g.to(list, pods)) }},
	{"workspaces-and-pods", func(g granter) { g.here(g.to(list, workspaces, pods)) }},
	{"workspaces-everywhere-pods-here", func(g granter) {
		g.everywhere(g.to(list, workspaces))
		g.here(g.to(list, pods))
	}},
	{"get-but-not-list", func(g granter) { g.everywhere(g.to([]string{"get", "watch"}, workspaces, pods, nodes)) }},
	{"delete-but-not-list", func(g granter) { g.everywhere(g.to([]string{"delete"}, workspaces)) }},
}

// TestRoles asks every route as everybody, directly and through the API server, and holds each answer against what the API
// server itself says that they may.
func TestRoles(t *testing.T) {
	cluster := shared.Cluster(t)
	i := install(t, cluster, "--huggingface-url="+startHub(t))
	w := populate(t, i)
	w.plant(t)
	people := devcluster.Namespace(t, cluster) // of the accounts, which tells who they are and not what they see
	everybody := map[string]*caller{}
	for _, r := range roles {
		c := &caller{role: r.name, world: w, who: cluster.ServiceAccount(t, people, r.name)}
		r.grant(granter{t, cluster, c.who.Subject(), w.own})
		everybody[r.name] = c
	}
	w.settle(t, everybody)
	for _, c := range everybody {
		c.sees = w.look(t, c.who)
	}

	inOwn := way{"through a namespace of the API server", aggregation.ProxyPath(w.own)}
	table := func(t *testing.T, by way) {
		for _, r := range roles {
			t.Run(r.name, func(t *testing.T) { askEverything(t, everybody[r.name].by(by)) })
		}
	}
	t.Run("direct", func(t *testing.T) { table(t, direct) })
	t.Run("by a namespace", func(t *testing.T) { table(t, inOwn) })
	t.Run("by the API server", func(t *testing.T) { table(t, through) })
	for _, c := range everybody {
		cluster.Bind(t, c.who.Subject(), "kubefoundry-user")
	}
	t.Run("by the API server as kubefoundry-user", func(t *testing.T) {
		table(t, through)
		for _, c := range everybody {
			require.Equal(t, c.sees.deployments, w.look(t, c.who).deployments, "%s: the way shows nothing by itself", c.role)
		}
	})
	t.Run("strangers", func(t *testing.T) { strangersAsk(t, everybody) })
	t.Run("validators", func(t *testing.T) { swapValidators(t, everybody) })
	t.Run("streams", func(t *testing.T) { listenAsEverybody(t, everybody) })
	t.Run("NATS", func(t *testing.T) { readBucketsAsEverybody(t, everybody) })
	t.Run("create", func(t *testing.T) { createAsEverybody(t, everybody) })
	t.Run("delete", func(t *testing.T) { deleteAsEverybody(t, everybody) })
	t.Run("contract", func(t *testing.T) { keepContract(t, everybody) })
	t.Run("errors", func(t *testing.T) { refuseWell(t, everybody) })
	t.Run("everything is documented", func(t *testing.T) { everythingIsDocumented(t, everybody) })
	t.Run("nothing in any answer that the caller may not list", func(t *testing.T) {
		for _, c := range everybody {
			c.sees.add(w.look(t, c.who)) // what came during the test
			c.reveal(t)
		}
	})
}

// askEverything walks the routes. One that nothing is known of fails, so that whoever adds one says who sees what.
func askEverything(t *testing.T, a asking) {
	asked, passes := map[string]bool{}, map[string]bool{}
	for method := range verbs {
		passes[method] = a.passes(t, method)
	}
	for _, route := range routes(t) {
		asked[route] = true
		check, ok := answers[route]
		if !assert.True(t, ok, "%s is new: say in roles_routes_test.go what it shows to whom", route) {
			continue
		}
		t.Run(route, func(t *testing.T) {
			method, path, _ := strings.Cut(route, " ")
			if passes[method] {
				check(t, a)
				return
			}
			refused := a.ask(t, method, exemplary.Replace(path))
			require.Equal(t, http.StatusForbidden, refused.status)
			require.Contains(t, refused.body, `cannot `+verbs[method]+` resource \"backends/proxy\"`, "the API server says so")
		})
	}
	for route := range answers {
		assert.True(t, asked[route], "%s is gone", route)
	}
}

// exemplary puts names into the path of a route.
var exemplary = strings.NewReplacer("{name}", "twin", "{namespace}", "default", "{id}", "kaito")

// routes are those of the server, as "GET /api/deployments".
func routes(t *testing.T) (all []string) {
	t.Helper()
	router := mux.NewRouter()
	httpapi.HandlerWithOptions(&httpapi.Server{}, httpapi.GorillaServerOptions{BaseRouter: router})
	require.NoError(t, router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		require.NoError(t, err)
		methods, err := route.GetMethods()
		require.NoError(t, err)
		for _, method := range methods {
			all = append(all, method+" "+path)
		}
		return nil
	}))
	require.NotEmpty(t, all)
	return all
}

// swapValidators: an answer for one is never "what you have still holds" for another who sees something else.
func swapValidators(t *testing.T, everybody map[string]*caller) {
	for _, path := range []string{
		"/api/deployments", "/api/deployments?namespace=" + everybody["admin"].world.own, "/api/cluster/nodes", "/api/health/nodes",
		"/api/installation/gpu-capacity", "/api/installation/gpu-capacity/detailed",
	} {
		require.EventuallyWithT(t, func(collect *assert.CollectT) { // own ones hold only while the cluster rests
			tags := map[string]string{}
			for name, c := range everybody {
				tags[name] = c.by(direct).ask(t, http.MethodGet, path).header.Get("ETag")
				require.NotEmpty(t, tags[name], "%s for %s", path, name)
			}
			for name, c := range everybody {
				for of, tag := range tags {
					answer := c.by(direct).ask(t, http.MethodGet, path, "If-None-Match", tag)
					if !c.sees.same(everybody[of].sees) {
						require.Equal(t, http.StatusOK, answer.status, "%s: %s of %s given by %s", path, tag, of, name)
					} else if name == of {
						require.Equal(collect, http.StatusNotModified, answer.status, "%s: the own one", path)
					}
				}
			}
		}, patience, time.Second)
	}
}
