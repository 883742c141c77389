// Package aikit offers AIKit's images with a model in them, and builds more of them from GGUF files: in a Job, with BuildKit and
// without root, into a registry that keeps them on a volume. No Docker is needed, neither here nor on a node.
//
// Its one law: the cluster knows. A build is a Job whose name follows from what it builds and where to. Whoever starts the same
// build again, after whatever interruption and from whichever process, finds that Job and goes on watching it; one that is
// complete is not built again.
//
// What a user says becomes an argument of a command, never a part of a script, and is of a form that no file or image name can
// leave. Everything is done with the rights of the config that is given, which is the caller's.
//
// Everything may be called from any goroutine.
package aikit
