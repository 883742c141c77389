// Package view holds all documents in memory, in the order of their last change, and answers every read of them.
//
// # The law
//
// A reader is only a cursor. The view holds one log in which each key stands once, at its last change; whoever wants to
// know what changed since a revision reads the log from there. A live client, a slow one and one that comes back after an
// hour take the same path: nothing is queued for anybody, the latest change of a key wins, and memory is bounded by the
// number of keys, not by the rate of changes nor by the number or the pace of readers.
//
// # What a reader may rely on
//
// When Changes returns a batch with More false, a reader that applied every batch since its snapshot holds exactly the
// documents that List returns at the batch's cursor, for the same scope. Revisions rise from batch to batch and within a
// batch. What is not promised: every intermediate version of a document, or that two documents that changed together
// arrive together.
//
// A cursor that can no longer be brought up to date is answered with a *ResetError, never with silence: its epoch is
// unknown or over, its revision is from the future, or tombstones after it are gone (it lies below the horizon).
//
// # Sight
//
// Every read says what its caller may see, and is answered as if there were nothing else: documents, counts, searches and
// changes. A read that says nothing gets nothing. A reader stays with one sight: its cursor names it, and is reset where the
// caller comes back with another.
//
// # Epochs
//
// Revisions are counted by the bucket that the documents come from. Where that bucket is replaced, a new epoch begins: Apply
// gathers it aside, readers go on with the old one, and the last call of Apply swaps it in whole.
//
// # Concurrency
//
// One goroutine calls Apply (the bus's follower); any number call the rest. One lock, View.mu, guards everything; nothing
// that can block is called under it. Entries that were handed out are never changed.
package view
