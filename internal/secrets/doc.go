// Package secrets puts a Hugging Face token into namespaces, where runtimes read it: the Secret hf-token-secret, key HF_TOKEN.
//
// Its one law: everything is done with the access that is given, the caller's, one namespace at a time, and tells its own
// outcome. A Secret of that name that somebody else made is not overwritten and not deleted by the way. "Not there" is said
// only of what was looked for and not found; where the caller may not look, nothing is known.
//
// All functions may be called from any goroutine. Their errors are the Kubernetes API's, or *api.Error, and hold no token.
package secrets
