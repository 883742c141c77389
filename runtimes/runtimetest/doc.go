// Package runtimetest is the suite that every runtime must pass.
//
// A runtime brings fixtures: YAML files, each with a custom resource as its operator writes it, followed by the pods and
// events that belong to it, as many as the case needs. A pod with the annotation test.kubefoundry.io/foreign is one that must
// not be taken for the deployment's. Beside each file stands the document that it comes to, written with -update.
//
// Its one law: it knows no runtime, so what it holds of one it holds of all.
package runtimetest
