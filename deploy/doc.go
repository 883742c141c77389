// Package deploy holds what installs KubeFoundry in a cluster: the Dockerfile, the Helm chart, and the plain manifests that
// are rendered from the chart. To Go it offers those manifests, for tests that need an installation as users get it.
//
// Its one law: what is applied is what users apply. Nothing here changes an object on its way to the cluster.
package deploy
