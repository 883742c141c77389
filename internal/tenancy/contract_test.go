package tenancy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/gorilla/mux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/internal/aikit"
)

// operation is one of the document.
type operation struct {
	method, path string
	item         *openapi3.PathItem
	*openapi3.Operation
}

// book is the document, with a way to find the operation that a request is.
type book struct {
	document *openapi3.T
	all      []operation
	router   *mux.Router
}

func openBook(t *testing.T) *book {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	require.NoError(t, err)
	b := &book{document: document, router: mux.NewRouter()}
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			b.all = append(b.all, operation{method, path, item, o})
			b.router.NewRoute().Path(path).Methods(method).Name(method + " " + path)
		}
	}
	slices.SortFunc(b.all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return b
}

// find is the operation that a path asks for.
func (b *book) find(t *testing.T, method, path string) operation {
	t.Helper()
	u, err := url.Parse(path)
	require.NoError(t, err)
	var match mux.RouteMatch
	require.True(t, b.router.Match(&http.Request{Method: method, URL: u}, &match), "%s %s is no route", method, path)
	for _, o := range b.all {
		if o.method+" "+o.path == match.Route.GetName() {
			return o
		}
	}
	require.FailNow(t, "not documented", "%s %s", method, path)
	return operation{}
}

// check holds an answer against what the document says of the operation: its status, its type and its body.
func (b *book) check(t *testing.T, o operation, target string, a answer) {
	t.Helper()
	if slices.Contains(o.Tags, "chat") && a.status == http.StatusNotFound && !strings.Contains(a.body, `"statusCode"`) { // the model server's own answer
		require.NotEmpty(t, a.body)
		return
	}
	r, err := http.NewRequestWithContext(t.Context(), o.method, "https://kubefoundry.example"+target, http.NoBody)
	require.NoError(t, err)
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Options: options,
			Route: &routers.Route{Spec: b.document, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.Operation},
		},
		Status: a.status, Header: a.header, Options: options,
	}
	input.SetBodyBytes([]byte(a.body))
	assert.NoError(t, openapi3filter.ValidateResponse(context.Background(), input), "%s: %d %.2000s", o.OperationID, a.status, a.body)
	if a.status >= http.StatusBadRequest {
		failure(t, a)
	}
}

// failure is the one shape of errors.
func failure(t *testing.T, a answer) api.Error {
	t.Helper()
	require.Equal(t, "application/json", a.header.Get("Content-Type"), a.body)
	e := refusal(t, a, a.status)
	require.NotEmpty(t, e.Code)
	require.NotEmpty(t, e.Message)
	require.NotContains(t, e.Message, "its log says why", "a fault of ours")
	if a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests {
		require.NotEmpty(t, a.header.Get("Retry-After"), a.body)
	}
	return e
}

// example is how an operation is asked so that it does what it is for. What cannot be had in a test is asked for in vain.
type example struct {
	path   string // names for what stands in braces, in their order, with a slash between them
	query  string
	body   any
	header []string
	want   []int // 200 alone when left out
	rank   int   // what has to be asked before others is below 0, what ends things above
}

// target is the path with everything that the example puts into it.
func (e example) target(o operation) string {
	path := o.path
	for name := range strings.SplitSeq(e.path, "/") {
		before, rest, ok := strings.Cut(path, "{")
		if !ok {
			break
		}
		_, after, _ := strings.Cut(rest, "}")
		path = before + name + after
	}
	return path + strings.TrimSuffix("?"+e.query, "?")
}

func (e example) statuses() []int {
	if len(e.want) == 0 {
		return []int{http.StatusOK}
	}
	return e.want
}

// stage is what examples are of.
type stage struct {
	namespace string     // in which things may be made
	deployed  deployment // which is there and runs
	page      string     // of the server
	planted   map[string]api.Operation
	fresh     string // the name of what is made
}

const catalogued = "Qwen/Qwen3-0.6B"

// examples are those of all operations but such as take nothing.
func (s stage) examples() map[string]example {
	of := func(d deployment) example {
		return example{path: d.name, query: "namespace=" + d.namespace + "&runtime=" + d.runtime}
	}
	made := deployment{s.namespace, "kaito", s.fresh, "wildlife/" + s.fresh}
	with := func(e example, change func(*example)) example {
		change(&e)
		return e
	}
	chat := with(of(s.deployed), func(e *example) {
		e.body, e.want = body{"messages": []body{{"role": "user", "content": "Which way to the lake?"}}}, []int{http.StatusOK, http.StatusServiceUnavailable}
	})
	install := example{path: nobodysRuntime, want: []int{http.StatusNotFound}}
	noVersion := example{query: "version=%21%21", want: []int{http.StatusBadRequest}}
	runtime := example{path: "kaito"}
	unheard := []int{http.StatusServiceUnavailable} // Hugging Face is away
	installed := strings.TrimPrefix(s.planted[""].Id, "install/")
	build := strings.TrimPrefix(s.planted[s.namespace].Id, "build/")
	return map[string]example{
		"createDeployment":      {body: configs(s.namespace, s.fresh)[0], want: []int{http.StatusCreated}, rank: -1},
		"previewDeployment":     {body: configs(s.namespace, s.fresh+"-not")[0]},
		"getDeployment":         of(s.deployed),
		"getDeploymentManifest": of(s.deployed),
		"getDeploymentLogs":     of(s.deployed),
		"listDeploymentEvents":  of(s.deployed),
		"listDeploymentPods":    of(s.deployed),
		"getPendingReasons":     of(s.deployed),
		"getDeploymentMetrics":  of(s.deployed),
		"scaleDeployment":       with(of(made), func(e *example) { e.body = body{"roles": body{"worker": 2}} }),
		"deleteDeployment":      with(of(made), func(e *example) { e.rank = 1 }),

		"chatWithDeployment":     chat,
		"completeWithDeployment": with(chat, func(e *example) { e.body = body{"prompt": "Which way"} }),
		"embedWithDeployment": with(chat, func(e *example) {
			e.body, e.want = body{"input": "Which way"}, append(e.want, http.StatusNotFound) // not every model server has it
		}),
		"listServedModels": with(chat, func(e *example) { e.body = nil }),

		"installGpuOperator":      noVersion,
		"upgradeGpuOperator":      noVersion,
		"uninstallGpuOperator":    {header: []string{"Prefer", "respond-async"}, want: []int{http.StatusAccepted}}, // there is none: it ends at once
		"getInstallationStatus":   runtime,
		"getInstallationCommands": runtime,
		"installProvider":         install,
		"upgradeProvider":         install,
		"uninstallProvider":       install,
		"uninstallProviderCrds":   {path: "kaito", query: "dryRun=true"},
		"getOperation":            {path: installed},
		"cancelOperation":         {path: installed, want: []int{http.StatusConflict}}, // it is over
		"getBuildOperation":       {path: build},
		"cancelBuildOperation":    {path: build, want: []int{http.StatusConflict}},

		"getAutoscalerStatus": {want: []int{http.StatusOK, http.StatusNotFound}},

		"searchModels":  {query: "q=otter", want: unheard},
		"getModelInfo":  {query: "id=" + catalogued},
		"listGgufFiles": {query: "id=wildlife/otter", want: unheard},
		"getModelFit":   {query: "model=" + catalogued},

		"getHuggingFaceLogin": {want: []int{http.StatusNotFound}}, // there is no client id
		"exchangeHuggingFaceCode": {
			body: body{"code": "made-up", "codeVerifier": strings.Repeat("v", 43), "redirectUri": s.page}, want: []int{http.StatusNotFound},
		},
		"putHuggingFaceSecret":    {body: body{"accessToken": hubToken, "namespaces": []string{s.namespace}}},
		"deleteHuggingFaceSecret": {query: "namespaces=" + s.namespace, rank: 1},
		"updateSettings":          {body: body{"activeProviderId": "kaito"}},
		"getProvider":             runtime,

		"getAikitModel":     {path: "llama3.2:1b"},
		"buildAikitImage":   {body: body{"modelSource": "premade", "premadeModel": "llama3.2:1b"}}, // which needs no build
		"previewAikitBuild": {body: ggufBuild(s.namespace)},

		"estimateCost":        {body: body{"gpuType": "A100", "gpuCount": 2, "replicas": 3}},
		"getInstancePrice":    {query: "instanceType=g5.xlarge"},
		"normalizeGpuLabel":   {query: "label=A100"},
		"analyzeModel":        {body: body{"modelId": catalogued, "gpuType": "A100", "gpuCount": 1}},
		"normalizeGpuProduct": {body: body{"gpuProduct": "A100"}},
	}
}

// exampleOf is how an operation is asked. One that wants something and of which nothing is known fails.
func exampleOf(t *testing.T, examples map[string]example, o operation) example {
	t.Helper()
	e, ok := examples[o.OperationID]
	required := o.RequestBody != nil || strings.Contains(o.path, "{")
	for _, p := range o.Parameters {
		required = required || p.Value.Required
	}
	require.True(t, ok || !required, "%s is new: say in contract_test.go how it is asked", o.OperationID)
	return e
}

// keepContract asks for everything that the document has, and holds each answer against it.
func keepContract(t *testing.T, everybody map[string]*caller) {
	b, admin := openBook(t), everybody["admin"].by(direct)
	examples := stageOf(t, admin, "fresh-contract").examples()
	var documented []string
	for _, o := range b.all {
		documented = append(documented, o.method+" "+o.path)
	}
	require.ElementsMatch(t, documented, routes(t), "the document and the router have the same routes")
	ordered := slices.Clone(b.all)
	slices.SortStableFunc(ordered, func(x, y operation) int { return examples[x.OperationID].rank - examples[y.OperationID].rank })
	for _, o := range ordered {
		t.Run(o.OperationID, func(t *testing.T) {
			e := exampleOf(t, examples, o)
			target := e.target(o)
			if o.OperationID == "getStream" {
				require.Equal(t, http.StatusOK, admin.ask(t, http.MethodHead, target).status)
				return
			}
			if o.OperationID == "setupAikitInfrastructure" {
				t.Cleanup(func() { admin.world.dropRegistry(t) })
			}
			if o.OperationID == "getDeploymentLogs" || o.OperationID == "getDeploymentMetrics" {
				require.Equal(t, http.StatusOK, admin.ask(t, http.MethodHead, target+"&follow=true").status)
			}
			got := admin.send(t, o.method, target, e.body, e.header...)
			require.Contains(t, e.statuses(), got.status, got.body)
			b.check(t, o, target, got)
		})
	}
	for id := range examples {
		assert.True(t, slices.ContainsFunc(b.all, func(o operation) bool { return o.OperationID == id }), "%s is gone", id)
	}
}

// dropRegistry takes away what setting up a registry has made.
func (w *world) dropRegistry(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	assert.NoError(t, w.admin.kube.AppsV1().Deployments(deploy.Namespace).Delete(ctx, aikit.RegistryName, metav1.DeleteOptions{}))
	assert.NoError(t, w.admin.kube.CoreV1().Services(deploy.Namespace).Delete(ctx, aikit.RegistryName, metav1.DeleteOptions{}))
	assert.NoError(t, w.admin.kube.CoreV1().PersistentVolumeClaims(deploy.Namespace).Delete(ctx, aikit.RegistryName, metav1.DeleteOptions{}))
}

// stageOf finds something that runs, for examples.
func stageOf(t *testing.T, admin asking, fresh string) stage {
	t.Helper()
	s := stage{namespace: admin.world.own, page: admin.world.i.url + "/page", planted: admin.world.planted(), fresh: fresh}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		for _, d := range read[api.DeploymentList](t, admin.get(t, "/api/deployments?phase=Running")).Deployments {
			if d.Endpoint != nil {
				s.deployed = deployment{d.Namespace, d.Provider, d.Name, d.ModelId}
				return
			}
		}
		require.Fail(c, "nothing runs")
	}, patience, patience/100)
	return s
}

// everythingIsDocumented holds what everybody was told against the document: rights change what is answered.
func everythingIsDocumented(t *testing.T, everybody map[string]*caller) {
	b := openBook(t)
	seen := map[string]bool{}
	for _, c := range everybody {
		for _, h := range c.told {
			if h.method == http.MethodHead || strings.Contains(h.body, `"kind":"Status"`) { // the API server said so before
				continue
			}
			o := b.find(t, h.method, h.path)
			key := fmt.Sprint(c.role, o.OperationID, h.status)
			if seen[key] {
				continue
			}
			seen[key] = true
			b.check(t, o, h.path, h.answer)
		}
	}
}
