package aggregation

import (
	"net/http"
	"net/url"
	"strings"
)

// behindProxy returns the request as the product's own routes see it, if it is for them.
func behindProxy(r *http.Request) (*http.Request, bool) {
	// The escaped form, so that a slash that is part of a segment stays one behind the proxy, and is none before it.
	escaped, ok := afterProxy(r.URL.EscapedPath())
	if !ok || !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	path, err := url.PathUnescape(escaped)
	// Two slashes would make a host of what follows, in a redirect for instance.
	if err != nil || strings.HasPrefix(path, "//") {
		return nil, false
	}
	target := *r.URL
	target.Path, target.RawPath = path, ""
	if target.EscapedPath() != escaped {
		target.RawPath = escaped
	}
	behind := new(http.Request)
	*behind = *r
	behind.URL = &target
	behind.RequestURI = target.RequestURI()
	return behind, true
}

// afterProxy returns what follows the proxy of the backend in an escaped path.
func afterProxy(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, versionPath+"/")
	if !ok {
		return "", false
	}
	if below, ok := strings.CutPrefix(rest, "namespaces/"); ok {
		namespace, after, ok := strings.Cut(below, "/")
		if !ok || namespace == "" {
			return "", false
		}
		rest = after
	}
	return strings.CutPrefix(rest, resource+"/"+Backend+"/"+proxy)
}

// ProxyPath is where the Kubernetes API leads to the server. With a namespace, it is open to whoever may use the backend in
// that namespace only; what is answered is the same.
func ProxyPath(namespace string) string {
	if namespace == "" {
		return backendPath + "/" + proxy
	}
	return versionPath + "/namespaces/" + namespace + "/" + resource + "/" + Backend + "/" + proxy
}
