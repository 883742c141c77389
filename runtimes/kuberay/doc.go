// Package kuberay reads and builds KubeRay's RayServices, v1 and v1alpha1, that serve language models with Ray Serve LLM.
//
// Its one law is that of package runtimes: a pure function of the object. Pods are told apart by the exact name of their
// RayCluster, never by how it starts: the clusters of `demo` and `demo-2` start alike.
package kuberay
