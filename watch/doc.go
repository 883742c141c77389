// Package watch turns what a Kubernetes cluster has into documents and publishes them: informers at one end, a Publisher
// at the other.
//
// Its one law: a document is a function of the informers' stores as they are now. Nothing is derived from an event but the
// keys of the documents that it can change. So events may be merged, repeated or late, and a document recomputed for no
// reason at all is the same document, which is not published again.
//
// # Delivery
//
// What a Publisher may rely on, as long as Run has not returned:
//
// Whenever the cluster stops changing, the last Put or Delete of every key is what the cluster has. Versions in between
// may be skipped; a change is never published before an earlier one of the same key. Calls for one key come one after
// another; calls for different keys come at the same time from several goroutines and in no particular order, so that a
// pod may be seen before its deployment.
//
// A Put differs from the Put before it. What changes in the cluster without changing a document, such as resource
// versions, heartbeats and annotations, causes no call.
//
// Settle(kind) comes after every document of the kind was Put, made from complete lists of everything that it depends on.
// It never comes while a resource of the kind cannot be listed or watched: documents made before, by this process or by
// another, then stay as they are. The document SourcesKey(kind) says synced only after Settle returned. It comes again
// whenever a resource was started anew, for instance when a CustomResourceDefinition was installed.
//
// A document is deleted only when its object is known to be gone: from a store that has been listed in full, or because
// the cluster no longer serves the resource. A store that starts over, for another version of a resource, deletes nothing
// before it is filled.
//
// Emit comes after the Put or Delete that it tells of. Nothing that was there when a kind was first listed is an event.
//
// # Sources
//
// Each Kubernetes resource, in each namespace where the installation is limited to some, is a source with a state (see
// api.Source). A missing, forbidden or broken resource is such a state, named in the document SourcesKey of every kind
// that needs it, and never an empty list. Failed calls are repeated for ever, after 30 s at most, and at once when the API
// server is back.
//
// Which versions of a runtime's resource are served is asked of discovery, whenever its CustomResourceDefinition changes;
// where that may not be watched, as in an installation without rights outside of its namespaces, every 30 s.
//
// Rights needed, all of them list and watch: pods, events, nodes; the runtimes' custom resources; Deployments (apps), for
// the operators and, in kube-system, for the cluster autoscaler; the ConfigMap kube-system/cluster-autoscaler-status; the
// ConfigMaps of operations in the server's own namespace; and the CustomResourceDefinitions of the runtimes, for which a rule with resourceNames is enough.
//
// # Goroutines and locks
//
// Informers call handlers, handlers queue keys, and two workers recompute. No lock is held while a Publisher or a callback
// is called. Objects in the stores are never written to.
package watch
