// Package deploying tests, on a real API server with the whole way from it to the stream, what people do with deployments:
// create, preview, look at, scale and delete them. It holds nothing else.
//
// Its one law: what the runtimes' definitions refuse fails a test. KUBEFOUNDRY_CRDS names a folder with the published ones;
// without it the development cluster's own are used.
package deploying
