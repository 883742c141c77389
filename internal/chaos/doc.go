// Package chaos holds one test: the whole path, from a real API server over a real NATS to clients of the stream, while
// everything along it fails in turn. Its one law: at every `synced` and `bookmark`, what a client holds is exactly what the
// documents were at that cursor, and once things are quiet it is what the cluster holds.
package chaos
