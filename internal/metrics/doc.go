// Package metrics collects what the servers of a deployment say of themselves, and tells what it means.
//
// # The law
//
// Servers are asked while somebody looks, at most once in Interval whatever the number of those who look, and never by this
// server's own rights: each collection is done with the credentials of one of the viewers. Whoever asks while what was
// collected last is fresh gets that. Whether they may see it is for the caller of this package to check, for each viewer; what
// is collected through different rights lies under different keys, see Subject.
//
// # The way
//
// Through the Kubernetes API: the proxy of a Service or of pods. So it works wherever this server runs, and the model
// servers need no door of their own. A model server's redirects are not followed, for the viewer's token would go along.
//
// A Service leads to one of its pods, another one each time. Counters of different pods do not make a rate, so that a Service
// is asked only where one pod is behind it, or for gauges alone.
//
// # What it means
//
// Rates come from the increments of counters between two collections, quantiles from those of histogram buckets. A counter
// that falls has begun anew at 0. Figures are taken over Window, of which at first nothing is there.
//
// # Who may call
//
// A Collector may be used from any goroutine. It has no goroutine of its own; one collects while a Get waits for it, and what
// nobody asked for in Retention is forgotten.
package metrics
