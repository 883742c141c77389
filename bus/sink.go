package bus

import "github.com/kubefoundry/kubefoundry/api"

// Sink is what a follower fills. One goroutine calls it, and waits for each call: a slow sink slows the follower, and
// what it misses meanwhile is coalesced by the server.
type Sink interface {
	// Apply takes entries of an epoch in the order of their revisions, each above all before it. Entries of an epoch
	// that is not being served yet are kept aside until a call with complete=true swaps the epoch in at once; once it
	// was true for an epoch it stays so. entries may be empty, and belongs to the sink.
	Apply(epoch string, entries []api.Entry, complete bool)
	// Position tells how far the newest epoch that was applied is: the follower resumes there. keys counts the keys it
	// holds, tombstones included.
	Position() (epoch string, revision uint64, keys int)
}
