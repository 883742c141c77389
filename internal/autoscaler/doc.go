// Package autoscaler tells from a cluster's own objects whether something adds nodes when pods need them, and how it does.
//
// Its one law: it reports what was seen. No trace of an autoscaler means that none was found, not that there is none; a
// status that cannot be read is said to be unreadable, and what can be read of it is still used.
//
// It looks at four traces, from the most telling to the least: the labels with which AKS marks the node pools that it
// scales itself, the status that the cluster-autoscaler keeps in a ConfigMap, the cluster-autoscaler's own Deployment, and
// the labels of nodes that Karpenter or a provider's automatic mode made, with Karpenter's Deployment where it is in kube-system.
//
// Detect is pure and may be called from any goroutine. Whether a status is stale depends on the time that it is given, so
// a caller calls it again as time passes.
package autoscaler
