// Package serving holds the certificate that the server shows to its clients, and keeps it good while the server runs.
//
// There are two origins. [FromFiles] takes what somebody else makes and renews, a certificate manager with a mounted
// Secret for one. [SelfMade] needs nobody: it makes a certificate authority and a serving certificate, keeps both in one
// Secret, and tells the Kubernetes aggregation layer about the authority, in spec.caBundle of the APIService.
//
// Its one law: all replicas serve under one authority. The Secret is where they agree, by optimistic locking: whoever
// finds that it is missing, damaged or due makes another, the first write wins, and everybody else takes what was written.
// An authority that is still good is kept when only its serving certificate has to be made anew. When the authority itself
// is replaced, which takes ten years or a Secret that was deleted or damaged, replicas and APIService follow within a
// minute and requests of Kubernetes may fail until then; to replace an authority on purpose, delete the Secret.
//
// A private key never leaves its Secret or file but into this process, and no error or log line contains one.
//
// The server asks every client for a certificate and does not check it here ([Certificate.TLSConfig]): which clients are
// trusted is for authentication, whose authorities change while the server runs.
//
// The methods of [Certificate] may be called from any goroutine. [Certificate.Run] starts no other.
package serving
