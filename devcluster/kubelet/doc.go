// Package kubelet answers, for every simulated node at once, the part of the
// kubelet's HTTPS API that people use: container logs.
//
// Its one law: it speaks only to the API server. A caller without the kubelet
// client certificate of this cluster is refused, as a real kubelet does it.
//
// KWOK has such a server too; it stays off, because its logs come from files on
// disk and its exec runs commands on the machine that hosts the cluster.
package kubelet
