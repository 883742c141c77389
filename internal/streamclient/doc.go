// Package streamclient consumes the stream of changes, GET /api/stream: the terminal's live table, the tests and the
// benchmarks read it through here.
//
// Its one law: a cursor is kept only as long as everything up to it has been handed over. An event without an id moves
// nothing, one with an empty id forgets the cursor; so a connection that breaks inside a snapshot starts over, and one
// that breaks anywhere else goes on where it was, with no gap and nothing twice.
//
// Client.Run reads, and reconnects, until its context ends or the server refuses for good. It calls the handler from its
// own goroutine, one event at a time; a slow handler slows the connection and nothing else: the server keeps no queue for
// a reader, it sends the latest of each document when the reader is ready. State folds the events into the documents that
// a client holds, and may be read from any goroutine.
package streamclient
