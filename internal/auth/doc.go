// Package auth tells who calls, what they may see, and acts in their name.
//
// # The law
//
// Nothing is shown or done beyond what the caller may see or do with kubectl. Who they are is said by the Kubernetes API
// server: it reviews their token, or vouches for them with its front-proxy certificate when they come through the aggregation
// layer. What they may see is asked of it too, right by right, for the namespaces that hold documents. Nothing is decided
// here, and no answer is believed for longer than Validity: a Grant that is older must not be used, not even for one frame.
// Where the API server does not answer, nothing is granted.
//
// # Cost
//
// Each token, and each right of each user in each namespace, is asked about once within Validity, however many requests and
// streams need the answer, and those who need it at the same time wait for one question.
//
// # Who may call
//
// Everything may be called from any goroutine.
package auth
