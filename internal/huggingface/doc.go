// Package huggingface asks Hugging Face: for models, for what is known of one, for its GGUF files, for whose a token is, and
// for a token in exchange for a login.
//
// Its one law: what one caller's token opens, no other caller is shown. Everything that is kept is kept under the hash of the
// token that it was asked with, and a token is sent to Hugging Face's own address only: not to where it redirects, and not to
// what an answer names as its next page. No error, log line or key of a cache holds a token.
//
// Hugging Face may be slow or away. Each question has a time limit and a bound on what is read; one that fails for the moment
// is asked once more; callers with the same question share one answer. Errors are *api.Error and name Hugging Face, so that
// nobody takes them for the cluster's.
//
// A Client may be used from any goroutine.
package huggingface
