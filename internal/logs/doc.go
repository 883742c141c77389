// Package logs reads the end of a container's log from the Kubernetes API, follows it as it is written, and puts those of several
// containers into one order.
//
// # The law
//
// Whatever a container writes, no more than MaxBytes of it are kept, and they are the last ones. The API has a limit of its
// own, limitBytes, and this package does not use it: it cuts at the end, so that of 10,000 long lines the oldest would be
// left. Instead everything that the API sends passes through a ring.
//
// Whoever follows sets the pace: what they do not take is not read, and waits where it was written. Of a line MaxLine is kept.
//
// What comes out is for people to read, in a page as in a terminal: valid UTF-8 without colours, and a line that was begun
// before the cut is left out.
//
// # Who may call
//
// Everything may be called from any goroutine. Whose rights count is the client's business.
package logs
