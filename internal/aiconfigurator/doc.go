// Package aiconfigurator suggests how to run a model on GPUs: how to split it, how many requests to take at once, how many
// replicas. NVIDIA's AI Configurator is asked where its command is installed; otherwise, and where it fails, the suggestion is
// worked out from the size of the model and of the GPUs' memory, and says so.
//
// Its one law: nothing is claimed that was not worked out. A suggestion of the second kind names no throughput and no latency,
// and a GPU that the command does not know is not taken for one that it knows.
//
// What comes from a request reaches the command as one argument each; no shell is involved. Suggest is pure; a Tool may be
// used by any number of goroutines, runs few commands at once, and removes what they leave.
package aiconfigurator
