// Package httpapi serves the documents over HTTP: lists, single documents, and the stream of changes.
//
// Its one law: a read never touches Kubernetes. Everything comes from the view, as the bytes that were stored there; a
// handler that needs a field decodes it, and none encodes a document again.
//
// Routes and their parameters are generated from api/openapi.yaml, and every request is held against that document before
// its handler runs (validate.go). Errors have one shape and are mapped once (errors.go): handlers return them.
//
// The package knows the view and not where it comes from. It starts one goroutine, the pulse (pulse.go), and for each
// stream those that the SSE library needs; Close ends them all.
package httpapi
