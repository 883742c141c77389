// Package models knows what can be told of a model without asking anybody: the catalogue, which engines run which
// architecture, how large weights are in each number format, and how many GPUs of which kind that takes.
//
// Its one law: unknown is not zero and not a guess. A size is taken from the files, else from the types of the tensors, else
// from the number of parameters, else from a number in the name that can be nothing else; and the estimate says from which.
// "foo-4bit" has no four billion parameters, "model-1M-ctx" no million, and "Scout-17B-16E" not seventeen billion in all.
//
// What is known is data: catalogue.yaml, architectures.yaml, products.yaml and formats.yaml, held against each other by the
// tests. All functions are pure, and may be called from any goroutine.
package models
