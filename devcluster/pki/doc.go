// Package pki makes the certificates, keys and kubeconfig files of one
// development cluster.
//
// Its one law: everything is made anew for each cluster and lies in the
// cluster's own folder, so a kubeconfig of one cluster never opens another one.
package pki
