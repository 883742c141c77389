package watch

import (
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// Publisher takes the documents as they should be. No call blocks on the network.
//
// Calls come from several goroutines at once, but those for one key come one after another, in order. A document's bytes
// are never written to after they were handed over.
type Publisher interface {
	// Put sets a document. `received` is when the change that caused it reached this process.
	Put(doc api.Document, received time.Time)
	// Delete says that there is no such document any more.
	Delete(key api.Key, received time.Time)
	// Settle says that every document of the kind was put: whatever else is stored of the kind is to be purged. It may
	// come again, and documents of the kind may be put while it runs.
	Settle(kind api.Kind)
	// Emit passes on that something happened.
	Emit(event api.Event)
}
