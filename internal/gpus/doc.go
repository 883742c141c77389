// Package gpus is the one table of GPUs: what the names mean that labels of nodes, machine types of clouds and people give
// them, how much memory one has, who makes it and of which generation it is.
//
// Its one law: what is not known stays unknown. A name is read word by word, so that an L40S is not taken for an L40, an A100
// not for an A10, and a name that nobody has heard of not for anything.
//
// All functions are pure and may be called from any goroutine.
package gpus
