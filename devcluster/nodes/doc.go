// Package nodes describes and creates the machines of a development cluster.
//
// Its one law: a node is created as a kubelet registers it, with addresses,
// capacity and the labels that clouds and GPU feature discovery put on it, and
// not Ready; KWOK makes it so.
package nodes
