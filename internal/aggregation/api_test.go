package aggregation_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"github.com/kubefoundry/kubefoundry/internal/aggregation"
)

const (
	versionPath  = "/apis/live.kubefoundry.io/v1alpha1"
	backendsPath = versionPath + "/backends"
	proxyPath    = backendsPath + "/default/proxy"

	acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)

// inner tells what arrived behind the handler.
func inner(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/inner")
	w.WriteHeader(http.StatusTeapot)
	_, _ = w.Write([]byte(r.Method + " " + r.URL.Path + " raw " + r.URL.RawPath + " uri " + r.RequestURI + " query " + r.URL.RawQuery))
}

func ask(t testing.TB, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	aggregation.New("v1.2.3").Handler(http.HandlerFunc(inner)).ServeHTTP(recorder, request)
	return recorder
}

func TestWhatReachesTheRoutes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ target, want string }{
		{"/", "GET / raw  uri / query "},
		{"/api/deployments?x=1", "GET /api/deployments raw  uri /api/deployments?x=1 query x=1"},
		{"/apisx", "GET /apisx raw  uri /apisx query "},
		{"/openapi.json", "GET /openapi.json raw  uri /openapi.json query "},
		{"/openapi/v2x", "GET /openapi/v2x raw  uri /openapi/v2x query "},
		{proxyPath + "/", "GET / raw  uri / query "},
		{proxyPath + "/api/x?y=a%2Fb&y=%20", "GET /api/x raw  uri /api/x?y=a%2Fb&y=%20 query y=a%2Fb&y=%20"},
		{proxyPath + "/api/x?", "GET /api/x raw  uri /api/x? query "},
		{proxyPath + "/api/a%2Fb/c", "GET /api/a/b/c raw /api/a%2Fb/c uri /api/a%2Fb/c query "},
		{proxyPath + "/api/ä%20b/", "GET /api/ä b/ raw  uri /api/%C3%A4%20b/ query "},
		{proxyPath + "/apis/live.kubefoundry.io", "GET /apis/live.kubefoundry.io raw  uri /apis/live.kubefoundry.io query "},
		{versionPath + "/namespaces/models/backends/default/proxy/api/x", "GET /api/x raw  uri /api/x query "},
		{"http://host" + proxyPath + "/api/x?a=b", "GET /api/x raw  uri /api/x?a=b query a=b"},
	} {
		got := ask(t, http.MethodGet, tc.target)
		assert.Equal(t, http.StatusTeapot, got.Code, tc.target)
		assert.Equal(t, tc.want, got.Body.String(), tc.target)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		assert.True(t, strings.HasPrefix(ask(t, method, proxyPath+"/api/x").Body.String(), method+" /api/x raw "))
		assert.True(t, strings.HasPrefix(ask(t, method, "/api/x").Body.String(), method+" /api/x raw "))
	}
}

// The writer and everything else about the request are the caller's own: streams and hijacked connections need them.
func TestRequestIsOtherwiseUntouched(t *testing.T) {
	t.Parallel()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, proxyPath+"/api/x?a=b", strings.NewReader("body"))
	request.Header.Set("X-Remote-User", "alice")
	recorder := httptest.NewRecorder()
	aggregation.New("").Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Same(t, recorder, w)
		assert.Equal(t, request.Body, r.Body)
		assert.Equal(t, request.Context(), r.Context())
		assert.Equal(t, "alice", r.Header.Get("X-Remote-User"))
		assert.Equal(t, request.Host, r.Host)
	})).ServeHTTP(recorder, request)
	assert.Equal(t, proxyPath+"/api/x", request.URL.Path, "the caller's request, for its log")
	assert.Equal(t, proxyPath+"/api/x?a=b", request.RequestURI)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	const proxyHint = "add the path of one, beginning with one slash, as in " + proxyPath + "/api/deployments"
	for _, tc := range []struct {
		method, target, accept string
		code                   int
		reason                 metav1.StatusReason
		message                string
	}{
		{"GET", proxyPath, "", 404, metav1.StatusReasonNotFound, proxyHint},
		{"POST", proxyPath, "", 404, metav1.StatusReasonNotFound, proxyHint},
		{"GET", versionPath + "/namespaces/models/backends/default/proxy", "", 404, metav1.StatusReasonNotFound, proxyHint},
		{"GET", proxyPath + "//example.com", "", 404, metav1.StatusReasonNotFound, proxyHint},
		{"GET", proxyPath + "/%2Fexample.com", "", 404, metav1.StatusReasonNotFound, proxyHint},
		{"GET", proxyPath + "%2Fapi", "", 404, metav1.StatusReasonNotFound, proxyHint},
		{"GET", proxyPath + "x/api", "", 404, metav1.StatusReasonNotFound, "could not find the requested resource"},
		{"GET", backendsPath + "%2Fdefault/proxy/api", "", 404, metav1.StatusReasonNotFound, "one slash"},
		{"GET", versionPath + "/namespaces//backends/default/proxy/api", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"GET", versionPath + "/namespaces/a/b/backends/default/proxy/api", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"GET", versionPath + "/namespaces/models/backends/default", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"GET", backendsPath + "/other/proxy/api", "", 404, metav1.StatusReasonNotFound, `backends.live.kubefoundry.io "other" not found`},
		{"GET", backendsPath + "/other", "", 404, metav1.StatusReasonNotFound, `backends.live.kubefoundry.io "other" not found`},
		{"GET", backendsPath + "/default/status", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"GET", "/apis/apps/v1", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"GET", "/apis/live.kubefoundry.io/v1", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"GET", "/openapi/v3/apis/apps/v1", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"GET", "/apis//", "", 404, metav1.StatusReasonNotFound, "could not find"},
		{"POST", backendsPath, "", 405, metav1.StatusReasonMethodNotAllowed, "POST is not supported here"},
		{"DELETE", backendsPath + "/default", "", 405, metav1.StatusReasonMethodNotAllowed, "DELETE is not supported here"},
		{"PUT", "/apis", "", 405, metav1.StatusReasonMethodNotAllowed, "PUT is not supported here"},
		{"GET", backendsPath + "?watch=true", "", 405, metav1.StatusReasonMethodNotAllowed, "watch is not supported on resources of kind"},
		{"GET", backendsPath + "?watch", "", 405, metav1.StatusReasonMethodNotAllowed, "watch is not supported on resources of kind"},
		{"GET", backendsPath + "?labelSelector=a+in", "", 400, metav1.StatusReasonBadRequest, "labelSelector: "},
		{"GET", backendsPath + "?fieldSelector=spec.x%3Dy", "", 400, metav1.StatusReasonBadRequest, `metadata.name and not by "spec.x"`},
		{"GET", backendsPath + "?includeObject=All", "", 400, metav1.StatusReasonBadRequest, "None, Metadata or Object"},
		{"GET", "/apis", "application/vnd.kubernetes.protobuf", 406, metav1.StatusReasonNotAcceptable, "only the following media types are accepted: application/json, application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"},
		{"GET", "/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", 406, metav1.StatusReasonNotAcceptable, ""},
		{"GET", "/apis", "application/json;q=0", 406, metav1.StatusReasonNotAcceptable, ""},
		{"GET", versionPath, "application/cbor", 406, metav1.StatusReasonNotAcceptable, ""},
		{"GET", "/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", 406, metav1.StatusReasonNotAcceptable, ""},
		{"GET", backendsPath, "application/json;as=Table;v=v2;g=meta.k8s.io", 406, metav1.StatusReasonNotAcceptable, ""},
	} {
		name := tc.method + " " + tc.target + " " + tc.accept
		got := ask(t, tc.method, tc.target, "Accept", tc.accept)
		assert.Equal(t, tc.code, got.Code, name)
		assert.Equal(t, "application/json", got.Header().Get("Content-Type"), name)
		var status metav1.Status
		require.NoError(t, json.Unmarshal(got.Body.Bytes(), &status), name)
		assert.Equal(t, metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, status.TypeMeta, name)
		assert.Equal(t, metav1.StatusFailure, status.Status, name)
		assert.EqualValues(t, tc.code, status.Code, name)
		assert.Equal(t, tc.reason, status.Reason, name)
		assert.Contains(t, status.Message, tc.message, name)
		if tc.code == http.StatusMethodNotAllowed && !strings.Contains(tc.target, "watch") {
			assert.Equal(t, "GET, HEAD", got.Header().Get("Allow"))
		}
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	const v3 = "/openapi/v3/apis/live.kubefoundry.io/v1alpha1"
	for _, tc := range []struct{ target, accept, contentType, kind string }{
		{"/apis", "", "application/json", "APIGroupList"},
		{"/apis/", "*/*", "application/json", "APIGroupList"},
		{"/apis", "application/*", "application/json", "APIGroupList"},
		{"/apis", "text/html, application/json;q=0.5", "application/json", "APIGroupList"},
		{"/apis", "application/vnd.kubernetes.protobuf,application/json", "application/json", "APIGroupList"},
		{"/apis", discovery.AcceptV2, discovery.AcceptV2, "APIGroupDiscoveryList"},
		{"/apis", discovery.AcceptV2NoPeer + ",application/json", discovery.AcceptV2, "APIGroupDiscoveryList"},
		{"/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", "application/json", "APIGroupList"},
		{"/apis/live.kubefoundry.io", "", "application/json", "APIGroup"},
		{"/apis/live.kubefoundry.io/", "application/json", "application/json", "APIGroup"},
		{versionPath, "application/json", "application/json", "APIResourceList"},
		{backendsPath, "application/json", "application/json", "BackendList"},
		{backendsPath + "?watch=false&limit=500", acceptTable, "application/json;g=meta.k8s.io;v=v1;as=Table", "Table"},
		{backendsPath, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList", "PartialObjectMetadataList"},
		{backendsPath + "/default", "", "application/json", "Backend"},
		{backendsPath + "/default?includeObject=Object", acceptTable, "application/json;g=meta.k8s.io;v=v1;as=Table", "Table"},
		{"/openapi/v2", "application/json", "application/json", ""},
		{"/openapi/v3", "", "application/json", ""},
		{v3, "application/json", "application/json", ""},
		{v3, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf", "-"},
		{v3, "application/com.github.proto-openapi.spec.v3.v1.0+protobuf", "application/com.github.proto-openapi.spec.v3.v1.0+protobuf", "-"},
	} {
		name := tc.target + " " + tc.accept
		got := ask(t, http.MethodGet, tc.target, "Accept", tc.accept)
		require.Equal(t, http.StatusOK, got.Code, name)
		assert.Equal(t, tc.contentType, got.Header().Get("Content-Type"), name)
		assert.Equal(t, "Accept", got.Header().Get("Vary"), name)
		if tc.kind != "-" {
			var object metav1.TypeMeta
			require.NoError(t, json.Unmarshal(got.Body.Bytes(), &object), name)
			assert.Equal(t, tc.kind, object.Kind, name)
		}

		etag := got.Header().Get("ETag")
		require.NotEmpty(t, etag)
		again := ask(t, http.MethodGet, tc.target, "Accept", tc.accept, "If-None-Match", etag)
		assert.Equal(t, http.StatusNotModified, again.Code, name)
		assert.Zero(t, again.Body.Len(), name)
		head := ask(t, http.MethodHead, tc.target, "Accept", tc.accept)
		assert.Equal(t, http.StatusOK, head.Code, name)
		assert.Zero(t, head.Body.Len(), name)
	}
}

func decode[T any](t *testing.T, target, accept string) T {
	t.Helper()
	var object T
	got := ask(t, http.MethodGet, target, "Accept", accept)
	require.Equal(t, http.StatusOK, got.Code)
	decoder := json.NewDecoder(got.Body)
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&object))
	return object
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	groups := decode[metav1.APIGroupList](t, "/apis", "")
	require.Len(t, groups.Groups, 1)
	group := decode[metav1.APIGroup](t, "/apis/live.kubefoundry.io", "")
	assert.Equal(t, groups.Groups[0].PreferredVersion, group.PreferredVersion)
	assert.Equal(t, "live.kubefoundry.io/v1alpha1", group.PreferredVersion.GroupVersion)

	resources := decode[metav1.APIResourceList](t, versionPath, "")
	assert.Equal(t, "live.kubefoundry.io/v1alpha1", resources.GroupVersion)
	assert.Equal(t, []metav1.APIResource{
		{Name: "backends", SingularName: "backend", Kind: "Backend", Verbs: metav1.Verbs{"get", "list"}},
		{Name: "backends/proxy", Kind: "Backend", Verbs: metav1.Verbs{"create", "delete", "get", "patch", "update"}},
	}, resources.APIResources)

	// Both forms say the same.
	all := decode[apidiscoveryv2.APIGroupDiscoveryList](t, "/apis", discovery.AcceptV2)
	converted, byVersion, failed := discovery.SplitGroupsAndResources(all)
	assert.Empty(t, failed)
	require.Len(t, converted.Groups, 1)
	assert.Equal(t, groups.Groups[0].Name, converted.Groups[0].Name)
	for _, list := range byVersion {
		require.Len(t, list.APIResources, len(resources.APIResources))
		for i, r := range list.APIResources {
			assert.Equal(t, resources.APIResources[i].Name, r.Name)
			assert.Equal(t, resources.APIResources[i].Kind, r.Kind)
			assert.Equal(t, resources.APIResources[i].Verbs, r.Verbs)
			assert.Equal(t, resources.APIResources[i].Namespaced, r.Namespaced)
		}
	}
}

func TestBackends(t *testing.T) {
	t.Parallel()
	const one = `{"kind":"Backend","apiVersion":"live.kubefoundry.io/v1alpha1","metadata":{"name":"default"},"status":{"version":"v1.2.3"}}`
	assert.JSONEq(t, one, ask(t, http.MethodGet, backendsPath+"/default").Body.String())
	list := func(items string) string {
		return `{"kind":"BackendList","apiVersion":"live.kubefoundry.io/v1alpha1","metadata":{},"items":[` + items + `]}`
	}
	for selector, want := range map[string]string{
		"": list(one), "?fieldSelector=metadata.name%3Ddefault": list(one), "?fieldSelector=metadata.name%3Dother": list(""),
		"?labelSelector=!a": list(one), "?labelSelector=a%3Db": list(""), "?limit=1&resourceVersion=0": list(one),
	} {
		assert.JSONEq(t, want, ask(t, http.MethodGet, backendsPath+selector).Body.String(), selector)
	}

	table := decode[metav1.Table](t, backendsPath, acceptTable)
	require.Len(t, table.Rows, 1)
	assert.Equal(t, []any{"default", "v1.2.3"}, table.Rows[0].Cells)
	assert.Len(t, table.ColumnDefinitions, len(table.Rows[0].Cells))
	assert.Contains(t, string(table.Rows[0].Object.Raw), `"PartialObjectMetadata"`)
	table = decode[metav1.Table](t, backendsPath+"/default?includeObject=Object", acceptTable)
	assert.JSONEq(t, one, string(table.Rows[0].Object.Raw))
	table = decode[metav1.Table](t, backendsPath+"?includeObject=None", acceptTable)
	assert.Empty(t, table.Rows[0].Object.Raw)
	assert.Empty(t, decode[metav1.Table](t, backendsPath+"?labelSelector=a", acceptTable).Rows)
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	index := decode[struct {
		Paths map[string]struct {
			ServerRelativeURL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}](t, "/openapi/v3", "")
	require.Len(t, index.Paths, 1)
	address := index.Paths["apis/live.kubefoundry.io/v1alpha1"].ServerRelativeURL
	described := ask(t, http.MethodGet, address)
	require.Equal(t, http.StatusOK, described.Code)
	assert.Contains(t, described.Header().Get("Cache-Control"), "immutable")
	other, _, _ := strings.Cut(address, "?")
	assert.NotContains(t, ask(t, http.MethodGet, other+"?hash=older").Header().Get("Cache-Control"), "immutable")
	assert.NotContains(t, ask(t, http.MethodGet, other).Header().Get("Cache-Control"), "immutable")

	document, err := openapi3.NewLoader().LoadFromData(described.Body.Bytes())
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()))
	assert.Equal(t, 3, document.Paths.Len())
	var operations []string
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			assert.NotContains(t, operations, operation.OperationID)
			operations = append(operations, operation.OperationID)
			assert.NotEmpty(t, operation.Extensions["x-kubernetes-action"], "%s %s", method, path)
		}
	}
	assert.Len(t, operations, 7)

	binary := ask(t, http.MethodGet, address, "Accept", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
	var parsed openapi_v3.Document
	require.NoError(t, proto.Unmarshal(binary.Body.Bytes(), &parsed))
	assert.Len(t, parsed.GetPaths().GetPath(), 3)
}

// BenchmarkProbe is what each API server asks for all the time. It measures the answer without the connection.
func BenchmarkProbe(b *testing.B) {
	handler := aggregation.New("v1.2.3").Handler(http.NotFoundHandler())
	for name, request := range map[string]*http.Request{
		"availability": httptest.NewRequestWithContext(b.Context(), http.MethodGet, versionPath, nil),
		"openapi":      httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/openapi/v2", nil),
		"discovery":    httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/apis", nil),
		"proxy":        httptest.NewRequestWithContext(b.Context(), http.MethodGet, proxyPath+"/api/deployments", nil),
	} {
		if name == "discovery" {
			request.Header.Set("Accept", discovery.AcceptV2)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(&discard{header: http.Header{}}, request)
			}
		})
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
