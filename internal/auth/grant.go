package auth

import (
	"strings"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

// Validity is how long an answer of the API server is believed.
const Validity = 30 * time.Second

// Grant is what a caller may see, and for how long that is known.
type Grant struct {
	Sight *api.Sight
	// Until is when the grant must not be used any more; zero where it never ends.
	Until time.Time
	// Cells is the version of the cells for which it was decided, see Documents: with another one there are documents that
	// nothing was decided about, and which the sight hides.
	Cells uint64
}

// Valid tells whether the grant may still be used.
func (g Grant) Valid(now time.Time) bool { return g.Until.IsZero() || now.Before(g.Until) }

// Documents tells where documents lie.
type Documents interface {
	// Cells lists the cells that hold documents, or held some a short time ago.
	Cells() (cells []api.Cell, version uint64)
	// CellsVersion changes when a cell comes into being.
	CellsVersion() uint64
}

// Right is what a caller may have in Kubernetes: a verb on a resource.
type Right struct {
	Verb, Group, Resource string
	// Namespaced rights count in the document's namespace, or in all.
	Namespaced bool
	// Namespace is set where the right counts in that namespace alone, Name too where it is to one object.
	Namespace, Name string
}

func (r Right) String() string {
	s := r.Verb + " " + r.Resource
	if r.Group != "" {
		s += "." + r.Group
	}
	switch {
	case r.Name != "":
		s += " " + r.Namespace + "/" + r.Name
	case r.Namespace != "":
		s += " in the namespace " + r.Namespace
	}
	return s
}

// needs says what opens a class, as in "list workspaces.kaito.sh and list pods in the namespace".
func needs(rights []Right) string {
	texts, where := make([]string, len(rights)), ""
	for i, r := range rights {
		texts[i] = r.String()
		if r.Namespaced {
			where = " in the namespace"
		}
	}
	return strings.Join(texts, " and ") + where
}

// Rights tells what opens the documents of each class: all of the rights listed. A class with none is open to every caller.
type Rights map[api.Class][]Right

// Resource is a resource of Kubernetes.
type Resource struct{ Group, Resource string }

// RightsFor makes the rules: whoever may list the custom resource of a runtime and the pods of a namespace sees the
// deployments there, for their documents tell of both. Operations are ConfigMaps in own, the server's namespace, but for
// builds, which are Jobs in a namespace of their own.
func RightsFor(runtimes map[string]Resource, own string) Rights {
	pods := Right{Verb: "list", Resource: "pods", Namespaced: true}
	nodes := Right{Verb: "list", Resource: "nodes"}
	rights := Rights{
		{Kind: api.KindPods}:  {pods},
		{Kind: api.KindNodes}: {nodes},
		{Kind: api.KindPools}: {nodes},
		{Kind: api.KindAutoscaler}: {
			{Verb: "get", Resource: "configmaps", Namespace: "kube-system", Name: "cluster-autoscaler-status"},
		},
		// Sums over the cluster without a name in them; and which runtimes are installed and whether their operators run, which
		// everybody has to know who deploys a model.
		{Kind: api.KindCapacity}: nil,
		{Kind: api.KindRuntimes}: nil,

		{Kind: api.KindOperations, Part: operations.PartInstall}: {{Verb: "list", Resource: "configmaps", Namespace: own}},
		{Kind: api.KindOperations, Part: operations.PartBuild}:   {{Verb: "list", Group: "batch", Resource: "jobs", Namespaced: true}},
	}
	for id, resource := range runtimes {
		rights[api.Class{Kind: api.KindDeployments, Part: id}] = []Right{
			{Verb: "list", Group: resource.Group, Resource: resource.Resource, Namespaced: true}, pods,
		}
	}
	return rights
}
