package runtimes

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
)

// Runtime is one inference runtime, such as KAITO. An implementation is one package and one line in the registry.
type Runtime interface {
	Info() Info
	// Project reads a custom resource of Info().Resource, in any of its versions.
	Project(obj *unstructured.Unstructured) Projection
	// PodClaims returns the claims that a pod carries: the pod belongs to the deployment of its namespace whose Projection
	// has one of them. Nil for a pod of something else. It reads labels and owner references only.
	PodClaims(pod *corev1.Pod) []string
	// PodRole tells which of the deployment's roles a pod plays; empty where it cannot be told.
	PodRole(pod *corev1.Pod) string
	// Build makes the manifests of a configuration, or tells everything that is wrong with it. Projecting the primary one
	// gives back the model, engine, mode and replicas that were asked for.
	Build(c *api.DeploymentConfig) (Manifests, []api.ErrorDetail)
	// Scale returns the changes with which roles of a custom resource have so many replicas each, or what is wrong with the
	// wish: an unknown role, for one. A role that has them already needs no change.
	Scale(obj *unstructured.Unstructured, replicas map[string]int) ([]Change, []api.ErrorDetail)
}

// Info describes a runtime.
type Info struct {
	ID               string // as in ids and in the API's `provider`
	Name             string // for people
	DefaultNamespace string
	Resource         Resource
	Operator         Operator
}

// Resource is the custom resource that a deployment is.
type Resource struct {
	Group string
	// Versions that can be read, the preferred one first. The first that the cluster serves is used.
	Versions []string
	Plural   string
	Kind     string
}

// CRD is the name of the CustomResourceDefinition.
func (r Resource) CRD() string { return r.Plural + "." + r.Group }

// Operator tells how to find the Deployment that runs the runtime's operator: a label and its possible values, in any
// namespace.
type Operator struct {
	Label  string
	Values []string
}

// Projection is what a custom resource alone tells.
type Projection struct {
	// Deployment has every field but Pods, PodCount and UpdatedAt; Reasons are those that the operator gives.
	Deployment api.Deployment
	// Claims identify the deployment's pods, see Runtime.PodClaims.
	Claims []string
	// CountPods is set where the operator does not say, or not for each role, how many replicas are ready: they are counted
	// from the pods then, as far as pods are known, and the numbers in Deployment stand where none are.
	CountPods bool
	// Serving is the claim of those pods that count as replicas, where others of the deployment's pods belong to a version on
	// its way in or out. All count where it is empty.
	Serving string
}
