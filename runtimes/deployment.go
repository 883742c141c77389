package runtimes

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// Names of roles that mean the same in every runtime. A runtime may have others.
const (
	RoleWorker   = "worker"
	RolePrefill  = "prefill"
	RoleDecode   = "decode"
	RoleFrontend = "frontend"
	RoleHead     = "head"
)

// NewDeployment starts a deployment's document with what every custom resource tells in the same way. The phase is
// Terminating where the object is being deleted and Pending otherwise; engine and mode are for the runtime to say.
func NewDeployment(info Info, obj *unstructured.Unstructured) api.Deployment {
	name, namespace := obj.GetName(), obj.GetNamespace()
	d := api.Deployment{
		Id:              api.DeploymentKey(namespace, info.ID, name).ID,
		Name:            name,
		Namespace:       namespace,
		Provider:        info.ID,
		ServedModelName: name,
		Mode:            api.ModeAggregated,
		Phase:           api.PhasePending,
		CreatedAt:       obj.GetCreationTimestamp().UTC(),
		Resource: api.ResourceRef{
			Group:    info.Resource.Group,
			Version:  version(info.Resource, obj),
			Resource: info.Resource.Plural,
			Kind:     info.Resource.Kind,
			Uid:      string(obj.GetUID()),
		},
		Conditions: Conditions(field.List(obj.Object, "status", "conditions")),
		Reasons:    []api.Reason{},
		Roles:      []api.Role{},
		Pods:       []api.PodSummary{},
	}
	if Deleted(obj) {
		d.Phase = api.PhaseTerminating
		if finalizers := field.Texts(obj.Object, "metadata", "finalizers"); len(finalizers) > 0 {
			d.Message = "Being deleted; waits for " + strings.Join(finalizers, ", ")
		}
	}
	return d
}

// Deleted tells whether the object is being deleted. Any timestamp counts, also one that cannot be read.
func Deleted(obj *unstructured.Unstructured) bool {
	return field.Text(obj.Object, "metadata", "deletionTimestamp") != ""
}

// version is the one that the object was read in, or the runtime's preferred one where it does not say.
func version(r Resource, obj *unstructured.Unstructured) string {
	if _, v, ok := strings.Cut(field.Text(obj.Object, "apiVersion"), "/"); ok && v != "" {
		return v
	}
	if len(r.Versions) > 0 {
		return r.Versions[0]
	}
	return ""
}

// Sum fills what follows from the roles: the replicas of those that serve, GPUs, and the numbers for prefill and decode
// where the deployment is disaggregated. Available is the same as ready unless the runtime changes it afterwards.
func Sum(d *api.Deployment) {
	counts := countsAsReplica(d.Roles)
	d.Replicas, d.Gpus = api.Replicas{}, 0
	d.PrefillReplicas, d.DecodeReplicas = nil, nil
	for i := range d.Roles {
		role := &d.Roles[i]
		d.Gpus += role.Desired * role.GpusPerReplica
		if counts(role.Name) {
			d.Replicas.Desired += role.Desired
			d.Replicas.Ready += role.Ready
		}
		if d.Mode != api.ModeDisaggregated {
			continue
		}
		switch role.Name {
		case RolePrefill:
			d.PrefillReplicas = &api.RoleReplicas{Desired: role.Desired, Ready: role.Ready}
		case RoleDecode:
			d.DecodeReplicas = &api.RoleReplicas{Desired: role.Desired, Ready: role.Ready}
		}
	}
	d.Replicas.Available = d.Replicas.Ready
}

// AddRole adds to the role of this name, or appends it: several groups of workers are one role. A replica then asks for as
// many GPUs as the largest of them.
func AddRole(roles []api.Role, add api.Role) []api.Role {
	for i := range roles {
		if roles[i].Name == add.Name {
			roles[i].Desired += add.Desired
			roles[i].Ready += add.Ready
			roles[i].GpusPerReplica = max(roles[i].GpusPerReplica, add.GpusPerReplica)
			return roles
		}
	}
	return append(roles, add)
}

// SortRoles puts roles into one order for every runtime: those that serve, then what stands before them, then others by name.
func SortRoles(roles []api.Role) {
	order := []string{RoleWorker, RolePrefill, RoleDecode, RoleFrontend, RoleHead}
	at := func(name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(roles, func(a, b api.Role) int {
		return cmp.Or(cmp.Compare(at(a.Name), at(b.Name)), cmp.Compare(a.Name, b.Name))
	})
}

// countsAsReplica tells which roles count as replicas of a deployment: those that hold the model. A frontend, a Ray head, a
// planner do not; where a deployment has nothing else, all count. A pod whose role is not known counts.
func countsAsReplica(roles []api.Role) func(role string) bool {
	for i := range roles {
		if servesModel(roles[i].Name) {
			return servesModel
		}
	}
	return func(string) bool { return true }
}

func servesModel(role string) bool {
	switch role {
	case RoleWorker, RolePrefill, RoleDecode, "":
		return true
	}
	return false
}
