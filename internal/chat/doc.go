// Package chat asks a model server something, through the Kubernetes API's proxy of its Service and with the rights of whoever
// asks.
//
// Its one law: nothing crosses but a body and what kind of text it is. Of the headers that came in none goes on, so no token and
// no cookie reaches a model server; of those that come back only the content type does, and only as one that no browser runs.
//
// An answer is handed on as it comes, a piece at a time: neither end is read faster than the other takes it. It is bounded in
// bytes and in time.
//
// Everything may be called from any goroutine.
package chat
