// Package operations runs what takes minutes and has to outlive the request that asked for it: installations, builds.
//
// Its one law: the cluster knows. An operation is a ConfigMap in the server's own namespace, written before anything is
// done and after every step. Whoever reads it, this process or another, knows as much as the one who runs it.
//
// # Who runs what
//
// An operation runs in the process that took the request, in the caller's name: their credentials stay in its memory, and
// nobody can go on where it ends. The ConfigMap carries a sign of life. An operation without one for longer than the lease
// is Interrupted: every process looks for those, and the API server's optimistic locking lets one of them say so. A process
// that cannot renew the sign for two thirds of the lease stops by itself, so that nobody goes on while others take it for
// dead. So every task has to be safe to repeat, from wherever it was interrupted.
//
// There is one operation for a target at a time: names end in a number, the next number is one more than the highest, and
// only one process can create the ConfigMap of that name.
//
// # Ends
//
// A task ends by its context, whose cause says why, and then returns; what it returns is how the operation ended. Only when
// the process itself ends is it not waited for longer than a few seconds.
//
// All methods of a Runner may be called from any goroutine. Tasks run each in a goroutine of their own.
package operations
