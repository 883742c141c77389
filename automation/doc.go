// Package automation lets programs follow documents and events by NATS: whoever shows the embedded server a token of the
// cluster finds there a KeyValue bucket and a stream of events that hold what they may see.
//
// # The law
//
// An account holds what its caller may see, and nothing else is in it. Every caller has an account of their own in the NATS
// server, which this package fills as one more reader of the view; the account with everything in it is never opened to
// anybody. Permissions inside NATS could not keep the law: they know subjects and not rights, and what the server itself
// publishes, a reply or what a push consumer delivers, is not checked against them. A client that plays such tricks moves
// copies of what it may see around in its own account, from where nothing leads out.
//
// Nothing is copied for longer than it is known that the caller may see it (auth.Grant). While that is unknown nothing is
// copied at all; once the last answer is over and there is no new one, the caller's connections are closed. What the caller
// may see no more is taken out before anything else is done.
//
// # What is delivered
//
// The bucket is like view.View itself: for each key the newest document in the end, every version not. It is never emptied to
// be filled again: after a reset of the view, and when rights change, what differs is put and what is gone is purged.
//
// Events are delivered at least once, those that the server's stream still holds also to a caller who comes later. When rights
// are gained, events of before follow behind newer ones.
//
// Connections of one user with the same groups share an account. Should the rights of their tokens differ, it holds what
// all of them may see.
//
// An account outlasts its last connection by some minutes in which it is not kept up to date, so that who connects again finds
// their durable consumers. It holds nothing on disk: a restart of the server makes it anew.
//
// # Goroutines
//
// [Automation.Run] takes one goroutine for the events and one for each account, which alone fills it. Clients are admitted on
// goroutines of the NATS server: each waits until its account holds what it should.
package automation
