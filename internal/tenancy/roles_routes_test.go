package tenancy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/operations"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// answers say of every route what a caller has to get, from what the API server lets them see. Routes that are open to
// everybody are here too: what they tell is the same for all.
var answers = map[string]func(*testing.T, asking){
	"GET /livez":               open,
	"GET /readyz":              open,
	"GET /openapi.json":        open,
	"GET /api/health":          open,
	"GET /api/health/version":  open,
	"GET /api/cluster":         open,
	"GET /api/cluster/version": open,

	"GET /metrics": func(t *testing.T, a asking) {
		if got := a.get(t, "/metrics"); a.sees.metrics {
			require.Equal(t, http.StatusOK, got.status)
			require.Contains(t, got.body, "process_cpu_seconds_total")
		} else {
			require.Contains(t, refusal(t, got, http.StatusForbidden).Message, "kubefoundry-metrics-reader")
		}
	},
	"GET /api/me":            me,
	"GET /api/health/status": status("/api/health/status"), "GET /api/cluster/status": status("/api/cluster/status"),
	"GET /api/health/nodes": nodesAt("/api/health/nodes"), "GET /api/cluster/nodes": nodesAt("/api/cluster/nodes"),
	"GET /api/runtimes/status": func(t *testing.T, a asking) {
		list := read[api.RuntimeList](t, a.get(t, "/api/runtimes/status"))
		require.Len(t, list.Runtimes, len(registry.All()))
		require.Nil(t, list.State.Access)
	},
	"GET /api/installation/gpu-capacity": func(t *testing.T, a asking) {
		got := read[api.GpuCapacity](t, a.get(t, "/api/installation/gpu-capacity"))
		require.Positive(t, got.TotalGpus, "sums are everybody's")
		require.Equal(t, a.sees.nodes == nil, len(got.Nodes) == 0)
		for _, node := range got.Nodes {
			require.Contains(t, a.sees.nodes, node.NodeName)
		}
		limited(t, got.Access, a.sees.nodes != nil, nil, "list nodes")
	},
	"GET /api/installation/gpu-capacity/detailed": func(t *testing.T, a asking) {
		got := read[api.Capacity](t, a.get(t, "/api/installation/gpu-capacity/detailed"))
		require.Positive(t, got.TotalGpus, "sums are everybody's")
		require.Equal(t, a.sees.nodes == nil, len(got.NodePools) == 0)
		limited(t, got.Access, a.sees.nodes != nil, nil, "list nodes")
	},
	"GET /api/autoscaler/detection": autoscaler("/api/autoscaler/detection"), "GET /api/autoscaler/status": autoscaler("/api/autoscaler/status"),

	"GET /api/deployments": deployments,
	"GET /api/deployments/{name}": func(t *testing.T, a asking) {
		for _, d := range one(t, a, http.MethodGet, "") {
			require.Equal(t, d.id(), read[api.Deployment](t, a.get(t, d.target(""))).Id)
		}
	},
	"GET /api/deployments/{name}/pods": func(t *testing.T, a asking) {
		for _, d := range one(t, a, http.MethodGet, "/pods") {
			pods := read[api.PodList](t, a.get(t, d.target("/pods"))).Pods
			require.NotEmpty(t, pods)
			for _, p := range pods {
				require.Equal(t, d.id(), p.Deployment)
			}
		}
	},
	"GET /api/deployments/{name}/pending-reasons": func(t *testing.T, a asking) {
		for _, d := range one(t, a, http.MethodGet, "/pending-reasons") {
			read[api.ReasonList](t, a.get(t, d.target("/pending-reasons")))
		}
	},
	"GET /api/deployments/{name}/logs": logs,
	"DELETE /api/deployments/{name}": func(t *testing.T, a asking) {
		before := a.world.ours(t)
		for _, d := range one(t, a, http.MethodDelete, "") {
			if !a.world.mayDelete(t, a.who, d) {
				require.Equal(t, api.ErrorCodeForbidden, refusal(t, a.ask(t, http.MethodDelete, d.target("")), http.StatusForbidden).Code)
			}
		}
		require.Equal(t, before, a.world.ours(t))
		for _, d := range before {
			require.Nil(t, a.world.get(t, d).GetDeletionTimestamp(), d.id())
		}
	},
	"POST /api/deployments":                            creates,
	"POST /api/deployments/preview":                    previews,
	"PATCH /api/deployments/{name}":                    scales,
	"GET /api/deployments/{name}/manifest":             manifests,
	"GET /api/deployments/{name}/events":               deploymentEvents,
	"POST /api/deployments/{name}/v1/chat/completions": chats(http.MethodPost, "/v1/chat/completions"),
	"POST /api/deployments/{name}/v1/completions":      chats(http.MethodPost, "/v1/completions"),
	"POST /api/deployments/{name}/v1/embeddings":       chats(http.MethodPost, "/v1/embeddings"),
	"GET /api/deployments/{name}/v1/models":            chats(http.MethodGet, "/v1/models"),

	"GET /api/installation/helm/status":                    same200("/api/installation/helm/status"),
	"GET /api/installation/gpu-operator/status":            gpuOperatorStatus,
	"POST /api/installation/gpu-operator/install":          gpuOperator("install", "create"),
	"POST /api/installation/gpu-operator/upgrade":          gpuOperator("upgrade", "create"),
	"POST /api/installation/gpu-operator/uninstall":        gpuOperator("uninstall", "delete"),
	"GET /api/installation/providers/{id}/status":          installationStatus,
	"GET /api/installation/providers/{id}/commands":        commands,
	"POST /api/installation/providers/{id}/install":        installs("install", "create"),
	"POST /api/installation/providers/{id}/upgrade":        installs("upgrade", "create"),
	"POST /api/installation/providers/{id}/uninstall":      installs("uninstall", "delete"),
	"POST /api/installation/providers/{id}/uninstall-crds": removesCRDs,
	"GET /api/operations":                                  listsOperations,
	"GET /api/operations/install/{name}":                   oneOperation(http.MethodGet, operations.PartInstall, ""),
	"POST /api/operations/install/{name}/cancel":           oneOperation(http.MethodPost, operations.PartInstall, "/cancel"),
	"GET /api/operations/build/{namespace}/{name}":         oneOperation(http.MethodGet, operations.PartBuild, ""),
	"POST /api/operations/build/{namespace}/{name}/cancel": oneOperation(http.MethodPost, operations.PartBuild, "/cancel"),

	"GET /api/deployments/{name}/metrics": measured,

	"GET /api/aikit/models":                  same200("/api/aikit/models"),
	"GET /api/aikit/models/{id}":             same200("/api/aikit/models/llama3.2:1b"),
	"POST /api/aikit/build":                  builds,
	"POST /api/aikit/build/preview":          tellsAll("/api/aikit/build/preview", ggufBuild("default")),
	"GET /api/aikit/infrastructure/status":   buildingStatus,
	"POST /api/aikit/infrastructure/setup":   setsUpBuilding,
	"POST /api/costs/estimate":               tellsAll("/api/costs/estimate", body{"gpuType": "A100", "gpuCount": 2, "replicas": 3}),
	"GET /api/costs/node-pools":              poolCosts,
	"GET /api/costs/instance-price":          same200("/api/costs/instance-price?instanceType=g5.xlarge"),
	"GET /api/costs/gpu-models":              same200("/api/costs/gpu-models"),
	"GET /api/costs/normalize-gpu":           same200("/api/costs/normalize-gpu?label=A100"),
	"GET /api/aiconfigurator/status":         same200("/api/aiconfigurator/status"),
	"POST /api/aiconfigurator/analyze":       tellsAll("/api/aiconfigurator/analyze", body{"modelId": catalogued, "gpuType": "A100", "gpuCount": 1}),
	"POST /api/aiconfigurator/normalize-gpu": tellsAll("/api/aiconfigurator/normalize-gpu", body{"gpuProduct": "A100"}),

	"GET /api/models":            same200("/api/models"),
	"GET /api/models/search":     asksHub("/api/models/search?q=otter"),
	"GET /api/models/info":       asksHub("/api/models/info?id=wildlife/otter"),
	"GET /api/models/gguf-files": asksHub("/api/models/gguf-files?id=wildlife/otter"),
	"GET /api/models/fit":        fits,

	"GET /api/oauth/huggingface/config": func(t *testing.T, a asking) {
		refusal(t, a.get(t, "/api/oauth/huggingface/config"), http.StatusNotFound) // there is no client id
	},
	"POST /api/oauth/huggingface/token":   exchangesCode,
	"GET /api/secrets/huggingface/status": tokenStatus,
	"POST /api/secrets/huggingface":       putsToken,
	"DELETE /api/secrets/huggingface":     takesToken,

	"GET /api/settings":                same200("/api/settings"),
	"PUT /api/settings":                changesSettings,
	"GET /api/settings/providers":      same200("/api/settings/providers"),
	"GET /api/settings/providers/{id}": provider,

	"GET /api/stream": func(t *testing.T, a asking) { // what it tells: listenAsEverybody
		head := a.ask(t, http.MethodHead, "/api/stream")
		require.Equal(t, http.StatusOK, head.status)
		require.Equal(t, "text/event-stream", head.header.Get("Content-Type"))
	},
}

// incomplete is for routes that want a body, and tell everybody so who sends none.
func incomplete(method, path string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		require.Equal(t, api.ErrorCodeInvalidRequest, refusal(t, a.ask(t, method, path), http.StatusBadRequest).Code)
	}
}

func open(t *testing.T, a asking) {
	route := strings.TrimPrefix(t.Name()[strings.LastIndex(t.Name(), "GET_"):], "GET_")
	require.Equal(t, http.StatusOK, a.get(t, route).status)
}

// limited holds what an answer says of the caller's rights against what they have: nothing where they see all; else whether
// they see any, where, and what it would take.
func limited(t *testing.T, access *api.Access, all bool, namespaces []string, needs ...string) {
	t.Helper()
	if all {
		require.Nil(t, access)
		return
	}
	require.NotNil(t, access)
	require.Equal(t, len(namespaces) > 0, access.Level == api.AccessLevelSome, "%+v", access)
	for _, need := range needs {
		require.Contains(t, access.Message, need)
	}
}

// limitedDeployments is limited for deployments.
func limitedDeployments(t *testing.T, a asking, access *api.Access) {
	t.Helper()
	all := a.sees.everywhere["pods"]
	var needs []string
	for runtime, resource := range resources() {
		whole := a.sees.everywhere[runtime] && a.sees.everywhere["pods"]
		all = all && whole
		if !whole {
			needs = append(needs, "list "+resource.GroupResource().String()+" and list pods in the namespace")
		}
	}
	namespaces := map[string]bool{}
	for _, d := range a.sees.deployments {
		namespaces[d.namespace] = true
	}
	limited(t, access, all, slices.Collect(maps.Keys(namespaces)), needs...)
	if access != nil {
		for _, namespace := range access.Namespaces { // in these nothing is hidden
			for _, d := range a.world.all(t) {
				require.True(t, d.namespace != namespace || a.sees.deployments[d.id()].name != "", "%s is hidden in %s", d.id(), namespace)
			}
		}
	}
}

func me(t *testing.T, a asking) {
	got := read[api.Me](t, a.get(t, "/api/me"))
	require.Equal(t, a.who.Name, got.Username)
	require.Contains(t, got.Groups, "system:authenticated")
	require.Contains(t, got.Groups, "system:serviceaccounts")
	require.Equal(t, a.way == direct, got.Via == api.MeViaToken)
	access := func(kind api.Kind) *api.Access {
		if limits, ok := got.Access[string(kind)]; ok {
			return &limits
		}
		return nil
	}
	limitedDeployments(t, a, access(api.KindDeployments))
	limited(t, access(api.KindPods), a.sees.everywhere["pods"], slices.Collect(maps.Keys(a.sees.pods)), "list pods in the namespace")
	limited(t, access(api.KindNodes), a.sees.nodes != nil, nil, "list nodes")
	limited(t, access(api.KindPools), a.sees.nodes != nil, nil, "list nodes")
	limited(t, access(api.KindAutoscaler), a.sees.autoscaler, nil, "get configmaps kube-system/cluster-autoscaler-status")
	require.Nil(t, access(api.KindCapacity))
	require.Nil(t, access(api.KindRuntimes))
}

func status(path string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		got := read[api.ClusterStatus](t, a.get(t, path))
		require.True(t, got.Connected)
		require.NotNil(t, got.Provider)
	}
}

func nodesAt(path string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		got := read[api.NodeList](t, a.get(t, path+"?includeCordoned=true"))
		names := []string{}
		for _, n := range got.Nodes {
			names = append(names, n.Name)
		}
		require.ElementsMatch(t, slices.Collect(maps.Keys(a.sees.nodes)), names)
		require.Equal(t, len(names), got.State.Count)
		limited(t, got.State.Access, a.sees.nodes != nil, nil, "list nodes")
	}
}

func autoscaler(path string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		if got := a.get(t, path); a.sees.autoscaler {
			require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, got.status, got.body)
		} else {
			e := refusal(t, got, http.StatusForbidden)
			require.Equal(t, api.ErrorCodeForbidden, e.Code)
			require.Contains(t, e.Message, "get configmaps kube-system/cluster-autoscaler-status")
		}
	}
}

// deployments: a list is what kubectl lists, however it is filtered, and counts nothing else.
func deployments(t *testing.T, a asking) {
	visible := func(keep func(deployment) bool) []string {
		shown := []string{}
		for id, d := range a.sees.deployments {
			if keep(d) {
				shown = append(shown, id)
			}
		}
		return shown
	}
	check := func(query string, keep func(deployment) bool) api.DeploymentList {
		t.Helper()
		want := visible(keep)
		got := read[api.DeploymentList](t, a.get(t, "/api/deployments"+query))
		require.ElementsMatch(t, want, ids(got.Deployments), query)
		require.Equal(t, len(want), got.Pagination.Total, query)
		require.False(t, got.Pagination.HasMore)
		limitedDeployments(t, a, got.State.Access)
		return got
	}
	all := check("", func(deployment) bool { return true })
	require.Equal(t, len(a.sees.deployments), all.State.Count)
	if len(a.sees.deployments) == 0 {
		require.Equal(t, api.AccessLevelNone, all.State.Access.Level, "an empty list says why")
		require.Contains(t, all.State.Access.Message, "You may see no deployments")
	}
	for _, namespace := range []string{a.world.own, a.world.other} {
		in := func(d deployment) bool { return d.namespace == namespace }
		require.Equal(t, len(visible(in)), check("?namespace="+namespace, in).State.Count)
		check("?q="+namespace, in)
	}
	for runtime := range resources() {
		check("?runtime="+runtime, func(d deployment) bool { return d.runtime == runtime })
	}
	for _, name := range []string{"heron", "otter"} { // parts of names, and of models
		check("?q="+name+"-", func(d deployment) bool {
			return strings.HasPrefix(d.name, name) || d.name == "twin" && d.namespace == map[string]string{"heron": a.world.own, "otter": a.world.other}[name]
		})
		check("?q="+url.QueryEscape("wildlife/"+name+"-twin"), func(d deployment) bool {
			return d.name == "twin" && d.namespace == map[string]string{"heron": a.world.own, "otter": a.world.other}[name]
		})
	}
	for _, sort := range []string{"createdAt", "updatedAt", "name", "namespace", "modelId", "provider", "engine", "phase"} {
		var paged []string
		for {
			page := read[api.DeploymentList](t, a.get(t, fmt.Sprintf("/api/deployments?sort=%s&limit=5&offset=%d", sort, len(paged))))
			paged = append(paged, ids(page.Deployments)...)
			require.Equal(t, len(a.sees.deployments), page.Pagination.Total)
			require.Equal(t, len(paged) < len(a.sees.deployments), page.Pagination.HasMore)
			if !page.Pagination.HasMore {
				break
			}
		}
		if sort != "updatedAt" && sort != "phase" { // these may change between two pages
			require.ElementsMatch(t, visible(func(deployment) bool { return true }), paged, sort)
		}
	}
}

// fromView is what is told of a deployment without asking the API server as the caller.
var fromView = []string{"", "/pods", "/pending-reasons"}

// one asks for deployments of this test by name. What the caller may not see is answered as if it were not there; it returns
// what they may see.
func one(t *testing.T, a asking, method, suffix string, content ...body) (visible []deployment) {
	t.Helper()
	request := func(path string) answer {
		if len(content) > 0 && content[0] != nil {
			return a.send(t, method, path, content[0])
		}
		return a.ask(t, method, path)
	}
	byName := map[string]int{}
	for _, d := range a.sees.deployments {
		byName[d.name]++
	}
	same := func(what string, hidden, absent answer, name, none string) {
		t.Helper()
		require.Equal(t, http.StatusNotFound, hidden.status, "%s: %s", what, hidden.body)
		require.Equal(t, http.StatusNotFound, absent.status, "%s: %s", what, absent.body)
		require.Equal(t, strings.ReplaceAll(absent.body, none, name), hidden.body, what)
		for _, h := range []http.Header{hidden.header, absent.header} {
			for _, differs := range []string{"Date", "Content-Length", "Audit-Id"} {
				h.Del(differs)
			}
		}
		require.Equal(t, absent.header, hidden.header, what)
	}
	for _, d := range a.world.ours(t) {
		none := deployment{d.namespace, d.runtime, "no-such-thing", ""}
		bare, bareNone := "/api/deployments/"+d.name+suffix, "/api/deployments/"+none.name+suffix
		shown := a.sees.deployments[d.id()].name != ""
		if shown {
			visible = append(visible, d)
		} else {
			same(d.id(), request(d.target(suffix)), request(none.target(suffix)), d.name, none.name)
		}
		switch count := byName[d.name]; {
		case count == 0:
			same(d.name, request(bare), request(bareNone), d.name, none.name)
			same(d.name, request(bare+"?namespace="+d.namespace), request(bareNone+"?namespace="+d.namespace), d.name, none.name)
			same(d.name, request(bare+"?runtime="+d.runtime), request(bareNone+"?runtime="+d.runtime), d.name, none.name)
		case count == 1 && method == http.MethodGet && slices.Contains(fromView, suffix):
			require.Equal(t, http.StatusOK, a.get(t, bare).status, "the only one that they see")
		case count > 1:
			e := refusal(t, request(bare), http.StatusConflict)
			require.Equal(t, api.ErrorCodeAmbiguous, e.Code)
			require.Len(t, e.Details, count)
		}
	}
	return visible
}

// logs are read as the caller, who needs one right more than to see the pod.
func logs(t *testing.T, a asking) {
	if strings.Contains(a.get(t, "/api/deployments/no-such-thing/logs").body, "being written") {
		t.Skip("the server has no logs yet")
	}
	for _, d := range one(t, a, http.MethodGet, "/logs") {
		list := read[api.PodList](t, a.get(t, d.target("/pods")))
		require.NotEmpty(t, list.Pods)
		got := a.get(t, d.target("/logs")+"&podName="+list.Pods[0].Name)
		_, err := newClient(t, a.who.Config()).kube.CoreV1().Pods(d.namespace).GetLogs(list.Pods[0].Name, &corev1.PodLogOptions{Container: list.Pods[0].Containers[0].Name}).DoRaw(t.Context())
		if apierrors.IsForbidden(err) {
			require.Equal(t, api.ErrorCodeForbidden, refusal(t, got, http.StatusForbidden).Code)
		} else {
			require.NotEqual(t, http.StatusForbidden, got.status, got.body)
			require.True(t, json.Valid([]byte(got.body)))
		}
	}
}
