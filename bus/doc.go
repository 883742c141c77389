// Package bus carries documents from the one who makes them to all who serve them, through a NATS JetStream KeyValue
// bucket, and events to whoever subscribes. NATS is embedded in the process or external; nobody outside this package can
// tell which.
//
// Its one law: the bucket is a copy. What should be in it is known to the [Publisher], what was in it to each [Sink];
// it may lose everything at any time, and both ends make it, or find it, whole again.
//
// # What is delivered
//
// For each key, a sink sees revisions that strictly rise, and in the end the newest. It does not see every version: one
// that is overtaken before it is sent, stored or read is skipped, so a document that changes all the time costs no more
// than the pace at which it can be carried.
//
// Across keys, entries come in the order of their revisions. The bucket takes documents in the order in which they became
// due, and a document of [api.KindSources] only after all that was put, deleted or settled before it: "all pods are here"
// never stands in the bucket before a pod. A sink that lags may still read it before a pod that changed again since, as
// the pod's entry then stands at its newer revision, behind. There are no transactions: a set of documents is never
// swapped at once, except by a new epoch.
//
// An epoch is served from the moment that the sink holds all that the bucket holds, in a bucket that a publisher has
// filled: not while it is empty or half full. Until then the sink goes on serving the epoch before. Within one epoch no
// deletion is missed.
//
// Events are sent at least once while the publisher lives, and not in an order; their stream drops what its subscriber
// would get twice within two minutes. If too many wait, the oldest are dropped, and counted. Events that wait when the
// process ends are lost. Whoever must not miss a change follows the documents.
//
// With a file store that lost its newest messages, as after a power failure, the bucket counts some revisions twice. A
// follower notices if it looks before the bucket has grown past where the follower stands.
//
// # The four guards of a follower
//
// NATS does not tell a watcher that its bucket is gone, or another one: the watch stays open and silent, and when the
// sequences of the new bucket pass those of the old, it goes on as if nothing had been missed. Therefore:
//
//   - Epoch check. An epoch belongs to one stream, told by when it was created. Another stream, or one whose sequences
//     fell behind, is another epoch; nothing of it is applied to the old one.
//   - Own re-watch. A watch is given up with its connection, when it closes, and when the bucket goes on without it.
//   - Readiness. The library's mark that a watch has delivered all comes early under concurrent writes (nats-server
//     #4824). An epoch is complete once the newest surviving revision was applied, the keys are as many as the bucket
//     says, and the publisher's own document says that the bucket was filled.
//   - Tombstone horizon. The bucket forgets deletions after Config.TombstoneTTL. A follower that did not see all of the
//     bucket for half of that time begins a new epoch on the same stream.
//
// TestChaosNeedsItsGuards switches each of them off, and fails if nobody notices.
//
// # Publishing
//
// A publisher numbers its own messages along with the stream, and so learns from each acknowledgement whether somebody
// else has written. It compares the whole bucket with what should be in it whenever it starts, connects again, finds
// another bucket, or was not acknowledged, and then puts what differs, purges what nobody wants, and last renews
// [api.PublisherState]. Two publishers that overlap for a while disturb each other in this way, and the last one prevails.
//
// # Goroutines and locks
//
// Publisher.Run and Bus.Follow each own their state and take one goroutine, and one or two more while they are connected.
// Put, Delete, Settle and Emit may be called from any goroutine; they take one lock for a map access and wait for nothing
// else. No lock is held while NATS or a sink is called.
package bus
