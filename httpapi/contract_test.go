package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

// operation is one of the document, with the values of its path's parameters.
type operation struct {
	method, path string
	item         *openapi3.PathItem
	*openapi3.Operation
}

func documentedOperations(document *openapi3.T) (all []operation) {
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			all = append(all, operation{method, path, item, o})
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// check holds an answer against what the document says of the operation.
func (c *cluster) check(t *testing.T, o operation, target string, a answer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), o.method, c.url+target, http.NoBody)
	require.NoError(t, err)
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Options: options,
			Route: &routers.Route{Spec: c.server.document, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.Operation},
		},
		Status: a.status, Header: a.header, Options: options,
	}
	input.SetBodyBytes([]byte(a.body))
	require.NoError(t, openapi3filter.ValidateResponse(context.Background(), input), "%d %s", a.status, a.body)
}

// fromView tells whether an operation is answered from the view or by the server itself, so that its status follows from what
// the view holds. The others ask the cluster or somebody beyond it, which are away here, or want a body, which is not sent: they
// have to answer as the document says. internal/tenancy walks them on a live cluster.
func fromView(o operation) bool {
	return slices.Contains([]string{
		"getLivez", "getReadyz", "getMetrics", "getOpenapi", "getHealth", "getVersion", "getHealthStatus", "getHealthNodes", "getMe",
		"getCluster", "getClusterVersion", "getClusterStatus", "listNodes", "listDeployments", "getDeployment", "listDeploymentPods",
		"getPendingReasons", "listRuntimes", "getGpuCapacity", "getGpuCapacityDetailed", "getAutoscalerDetection", "getAutoscalerStatus", "getStream",
	}, o.OperationID)
}

// TestEveryOperationAnswersAsTheDocumentSays walks the whole document, in every state that the server can be in.
func TestEveryOperationAnswersAsTheDocumentSays(t *testing.T) {
	starting := api.KindState{Error: "workspaces.kaito.sh: forbidden", Sources: []api.Source{{Resource: "workspaces.kaito.sh", State: api.SourceStateStarting, Error: "forbidden"}}}
	unsynced := func(c *cluster) {
		c.beat()
		for _, kind := range api.Kinds() {
			c.state(kind, starting)
		}
	}
	// Without anything from the cluster these answer all the same: they speak of the server itself.
	always := []string{"/api/me", "/livez", "/metrics", "/openapi.json", "/api/health", "/api/health/version", "/api/health/status", "/api/cluster", "/api/cluster/version", "/api/cluster/status"}
	for name, tt := range map[string]struct {
		fill func(*cluster)
		name string // of the deployment that is asked for
		want func(path string) int
	}{
		"all is known":           {func(c *cluster) { c.fill() }, "qwen", func(string) int { return http.StatusOK }},
		"before the first epoch": {func(*cluster) {}, "qwen", only503(always)},
		"nothing is synced":      {unsynced, "qwen", only503(append([]string{"/api/stream"}, always...))},
		"nothing is published": {func(c *cluster) { c.beat() }, "qwen", func(path string) int {
			return only503(append([]string{"/api/stream"}, always...))(path)
		}},
		"no such deployment": {func(c *cluster) { c.fill() }, "none", one(http.StatusNotFound)},
		"two of that name":   {func(c *cluster) { c.fill() }, "llama", one(http.StatusConflict)},
		"not a name":         {func(c *cluster) { c.fill() }, "No", one(http.StatusBadRequest)},
		"no autoscaler": {func(c *cluster) {
			c.fill()
			c.put(api.Autoscaler{Detection: api.AutoscalerDetection{Type: api.AutoscalerDetectionTypeNone, Message: "none"}})
		}, "qwen", func(path string) int {
			if path == "/api/autoscaler/status" {
				return http.StatusNotFound
			}
			return http.StatusOK
		}},
		"an empty cluster": {func(c *cluster) {
			c.beat()
			c.synced()
			c.put(capacity(0, 0), api.NodePools{NodePools: []api.NodePool{}}, api.Autoscaler{Detection: api.AutoscalerDetection{Type: api.AutoscalerDetectionTypeNone, Message: "none"}, Status: &api.AutoscalerStatus{NodeGroups: []api.NodeGroup{}}})
		}, "qwen", one(http.StatusNotFound)},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t)
			tt.fill(c)
			for _, o := range documentedOperations(c.server.document) {
				t.Run(o.OperationID, func(t *testing.T) {
					target := strings.ReplaceAll(o.path, "{name}", url.PathEscape(tt.name))
					if o.path == streamPath {
						a := c.ask(http.MethodHead, target)
						require.Equal(t, tt.want(o.path), a.status)
						return
					}
					a := c.ask(o.method, target)
					if fromView(o) {
						require.Equal(t, tt.want(o.path), a.status, a.body)
					}
					c.check(t, o, target, a)
					if a.status >= 400 {
						a.failure(t)
					}
					if a.status == http.StatusServiceUnavailable {
						require.NotEmpty(t, a.header.Get("Retry-After"))
					}
				})
			}
		})
	}
}

func only503(answering []string) func(string) int {
	return func(path string) int {
		if slices.Contains(answering, path) {
			return http.StatusOK
		}
		return http.StatusServiceUnavailable
	}
}

// one is the status of whatever names a deployment.
func one(status int) func(string) int {
	return func(path string) int {
		if strings.Contains(path, "{name}") {
			return status
		}
		return http.StatusOK
	}
}

// TestWhatCannotBeListedIsSaid: the reason stands in the error, for a person and by resource.
func TestWhatCannotBeListedIsSaid(t *testing.T) {
	c := serve(t)
	c.beat()
	c.state(api.KindDeployments, api.KindState{Error: "workspaces.kaito.sh cannot be listed", Sources: []api.Source{{Resource: "workspaces.kaito.sh", State: api.SourceStateFailed, Error: "forbidden"}}})
	e := c.get("/api/deployments").failure(t)
	require.Equal(t, "nothing is known of deployments: workspaces.kaito.sh cannot be listed", e.Message)
	require.Equal(t, []api.ErrorDetail{{Field: "workspaces.kaito.sh", Message: "forbidden"}}, e.Details)
	c.apply(change{api.ClusterKey(), api.ClusterState{Connected: true}})
	require.NotContains(t, c.get("/readyz").failure(t).Message, string(api.KindDeployments), "it is settled: waiting would not help")

	// What is known is shown, with the error beside it.
	c.put(deployment("ml", "kuberay", "llama"))
	list := c.deployments("")
	require.Len(t, list.Deployments, 1)
	require.False(t, list.State.Synced)
	require.Equal(t, "workspaces.kaito.sh cannot be listed", list.State.Error)
}

// TestRoutesAreThoseOfTheDocument: neither has one that the other does not.
func TestRoutesAreThoseOfTheDocument(t *testing.T) {
	document, _, err := loadDocument()
	require.NoError(t, err)
	var documented, routed []string
	for _, o := range documentedOperations(document) {
		documented = append(documented, o.method+" "+o.path)
	}
	router := mux.NewRouter()
	HandlerWithOptions(&Server{}, GorillaServerOptions{BaseRouter: router})
	require.NoError(t, router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		require.NoError(t, err)
		methods, err := route.GetMethods()
		require.NoError(t, err)
		for _, method := range methods {
			routed = append(routed, method+" "+path)
		}
		return nil
	}))
	require.ElementsMatch(t, documented, routed)
}

// TestEveryPatternHasWords: a regular expression is no message for a person.
func TestEveryPatternHasWords(t *testing.T) {
	document, _, err := loadDocument()
	require.NoError(t, err)
	for _, o := range documentedOperations(document) {
		for _, parameter := range o.Parameters {
			schema := parameter.Value.Schema.Value
			if schema.Pattern != "" {
				require.Contains(t, patterns, schema.Pattern, "%s of %s", parameter.Value.Name, o.path)
			}
			require.NotEmpty(t, allowed(schema))
		}
	}
}

// valid holds JSON against a schema of the document.
func valid(t require.TestingT, document *openapi3.T, schema string, data []byte) {
	var value any
	require.NoError(t, json.Unmarshal(data, &value))
	require.NoError(t, document.Components.Schemas[schema].Value.VisitJSON(value, openapi3.MultiErrors()), "%s: %s", schema, data)
}

// TestFixturesAreDocuments: what the tests serve is what the document describes, so that nothing is proven of other things.
func TestFixturesAreDocuments(t *testing.T) {
	c := serve(t).fill()
	schemas := map[api.Kind]string{
		api.KindDeployments: "Deployment", api.KindPods: "Pod", api.KindNodes: "Node", api.KindRuntimes: "Runtime", api.KindCapacity: "GpuTotals", api.KindPools: "NodePools", api.KindAutoscaler: "Autoscaler",
	}
	seen := map[api.Kind]bool{}
	f := c.open(t, "")
	f.until("synced")
	for key, doc := range f.documents() {
		valid(t, c.server.document, schemas[key.kind], doc)
		seen[key.kind] = true
	}
	require.Len(t, seen, len(schemas))
}

// TestEventsAreAsTheDocumentSays holds each kind of event of a whole life against its schema.
func TestEventsAreAsTheDocumentSays(t *testing.T) {
	c := serve(t, stream(func(o *StreamOptions) { o.Bookmark = shortly })).fill()
	f := c.open(t, "")
	f.until("bookmark")
	c.remove(api.PodKey("ml", "qwen-0"))
	c.put(deployment("ml", "kaito", `an "odd" name`+"\n"))
	f.until("changes")
	go c.server.Close()
	f.until("bye")
	seen := map[string]bool{}
	schemas := map[string]string{"reset": "ResetEvent", "changes": "ChangesEvent", "synced": "SyncedEvent", "bookmark": "BookmarkEvent", "bye": "ByeEvent"}
	for _, e := range f.events {
		require.Contains(t, schemas, e.Type)
		valid(t, c.server.document, schemas[e.Type], e.Data)
		seen[e.Type] = true
	}
	require.Len(t, seen, len(schemas))
}

// TestReadyMeansThatWhatCanBeReadWasRead: forbidden is known, unreachable is not, and an outage later does not take back what
// was read.
func TestReadyMeansThatWhatCanBeReadWasRead(t *testing.T) {
	failed := api.KindState{Sources: []api.Source{{Resource: "nodes", State: api.SourceStateFailed, Error: "may not be listed"}}}
	for name, tc := range map[string]struct {
		connected bool
		nodes     api.KindState
		want      int
	}{
		"all read":                       {true, api.KindState{Synced: true}, http.StatusOK},
		"one forbidden":                  {true, failed, http.StatusOK},
		"one not listed yet":             {true, api.KindState{Sources: []api.Source{{Resource: "nodes", State: api.SourceStateStarting}}}, http.StatusServiceUnavailable},
		"nothing said yet":               {true, api.KindState{}, http.StatusServiceUnavailable},
		"the cluster was never reached":  {false, failed, http.StatusServiceUnavailable},
		"the cluster was lost meanwhile": {false, api.KindState{Sources: []api.Source{{Resource: "nodes", State: api.SourceStateStale}}}, http.StatusOK},
	} {
		c := serve(t)
		c.beat()
		c.synced()
		c.apply(change{api.ClusterKey(), api.ClusterState{Connected: tc.connected}})
		c.state(api.KindNodes, tc.nodes)
		require.Equal(t, tc.want, c.get("/readyz").status, name)
	}
}
