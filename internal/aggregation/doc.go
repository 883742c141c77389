// Package aggregation is the server as Kubernetes sees it: an aggregated API, live.kubefoundry.io/v1alpha1, with one object,
// the backend called default, and the product's own routes below its subresource proxy:
//
//	/apis/live.kubefoundry.io/v1alpha1/backends/default/proxy/api/…
//	/apis/live.kubefoundry.io/v1alpha1/namespaces/{namespace}/backends/default/proxy/api/…
//
// The subresource has that name because the API server cuts every other request to an aggregated API after a minute: a
// request to something called proxy may run for as long as it likes, so the stream is not cut. The form with a namespace
// leads to the same place; it is for callers whose rights are in a namespace.
//
// Its one law: nothing here knows anything about the caller or the cluster. [API.Handler] does no authentication and no
// authorization: its own answers are constants, and the rest is for the handler behind it to decide. All answers are built once, by [New], since Kubernetes asks for
// them all the time: for availability every half minute from every API server, for OpenAPI every minute.
//
// What is advertised is as little as there can be: a resource that can be deleted, listed and watched would be followed by
// the garbage collector. When no server answers, discovery of the cluster is incomplete and namespaces cannot be deleted
// until one does; that is the price of every aggregated API.
//
// An [API] and its handlers may be used from any goroutine.
package aggregation
