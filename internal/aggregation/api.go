package aggregation

import (
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What the aggregated API is called.
const (
	Group   = "live.kubefoundry.io"
	Version = "v1alpha1"
	// Backend is the name of the only object.
	Backend = "default"

	kind     = "Backend"
	resource = "backends"
	proxy    = "proxy"

	groupPath    = "/apis/" + Group
	versionPath  = groupPath + "/" + Version
	resourcePath = versionPath + "/" + resource
	backendPath  = resourcePath + "/" + Backend
)

func groupResource() schema.GroupResource {
	return schema.GroupResource{Group: Group, Resource: resource}
}

// API answers for the aggregated API.
type API struct {
	// documents by path, without a slash at the end.
	documents map[string]document
	// Of a get, of a list, and of a list whose selector selects nothing.
	one, list, empty renditions
}

// New builds all answers. The version is that of the server.
func New(version string) *API {
	a := &API{
		documents: map[string]document{},
		one:       newBackend(version), list: newBackends(version), empty: newBackends(),
	}
	a.addDiscovery()
	a.addOpenAPI()
	return a
}

// Handler answers what belongs to the aggregated API and leaves the rest to inner: requests to the proxy of the backend
// with the path that is behind it, and all requests to paths other than /apis, /openapi/v2, /openapi/v3 and below as they
// are. Its own answers are the same for everybody, so nobody is asked who they are; inner has to.
func (a *API) Handler(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answered(r.URL.Path) {
			inner.ServeHTTP(w, r)
			return
		}
		if behind, ok := behindProxy(r); ok {
			inner.ServeHTTP(w, behind)
			return
		}
		a.answer(w, r)
	})
}

// answered says whether a path is of the aggregated API.
func answered(path string) bool {
	for _, root := range []string{"/apis", "/openapi/v2", "/openapi/v3"} {
		if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

func (a *API) answer(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	found, ok := a.documents[path]
	if !ok && path != resourcePath && path != backendPath {
		writeStatus(w, notFound(r.URL.Path))
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeStatus(w, failure(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed,
			r.Method+" is not supported here, only GET and HEAD; all methods are below "+backendPath+"/"+proxy+"/"))
		return
	}
	switch path {
	case resourcePath:
		a.serveList(w, r)
	case backendPath:
		a.serveOne(w, r)
	default:
		found.serve(w, r)
	}
}
