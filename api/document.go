package api

import "time"

// Document is what a person looks at, as JSON.
type Document struct {
	Key  Key
	JSON []byte
}

// Entry is the last change of a document in an epoch.
type Entry struct {
	Key Key
	// Revision orders all entries of an epoch; no two have the same.
	Revision uint64
	// JSON is the document, nil where it was deleted.
	JSON []byte
	// Time is when the change was stored.
	Time time.Time
}

// Deleted tells whether the entry is a tombstone.
func (e Entry) Deleted() bool { return e.JSON == nil }
