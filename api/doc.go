// Package api holds what every other package speaks of: the documents, their keys and cursors, the errors, and the wire
// types generated from openapi.yaml.
//
// Its one law: a document is encoded once, where it is made, and from then on it is bytes. Whoever needs a field decodes
// it; nobody encodes it again. The bytes of a Document or an Entry are never written to after they were handed over.
//
// The package imports nothing of this module and starts no goroutine; all its values may be shared once made.
package api
