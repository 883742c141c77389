package runtimes

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

// MaxPods is how many pods stand in a deployment's document; it is read by everybody who looks at a list.
const MaxPods = 32

// Assemble puts a deployment's document together from what its custom resource tells, its pods, and the events about both.
// UpdatedAt is left to the caller, who knows the document before.
//
// Pods are those that carry one of the projection's claims; none may mean that there are none or that they are not known.
// Events may be any of the namespace: warnings about one of the pods or the custom resource are taken by their object, and
// warnings about anything but a Pod are taken to be about this deployment.
//
// The phase is the operator's, corrected by the pods: see refine. Nothing in the document depends on the time, on the order
// of the arguments, or on how often something has happened but for restarts, so the document changes only with the cluster.
func Assemble(rt Runtime, p Projection, pods []*corev1.Pod, events []*corev1.Event) api.Deployment {
	d := clone(p.Deployment)
	states := readPods(pods)

	d.PodCount = len(states)
	for i := range states[:min(len(states), MaxPods)] {
		d.Pods = append(d.Pods, states[i].summary())
	}
	roles := make([]string, len(states))
	for i := range states {
		roles[i] = rt.PodRole(states[i].pod)
	}
	fillGPUs(&d, states, roles)
	current := currentPods(rt, p, &d, states, roles)
	if p.CountPods && len(states) > 0 {
		countReplicas(&d, current)
	}

	complete := d.Replicas.Desired > 0 && d.Replicas.Ready >= d.Replicas.Desired
	var reasons reasonList
	byPod, others := eventsOf(events, states, &d)
	for i := range states {
		reasons.addPod(&states[i], byPod[states[i].pod.Name], complete)
	}
	reasons.addOperator(p.Deployment.Reasons, d.Phase == api.PhaseFailed)
	if !complete && d.Phase != api.PhaseTerminating {
		reasons.addEvents(stillTrue(others, &d, current))
	}

	refine(&d, states, current, &reasons)
	d.Reasons = reasons.sorted()
	// The operator's words stand, unless the cause is known: most say no more than that they wait.
	if len(d.Reasons) > 0 && d.Phase != api.PhaseTerminating && p.Deployment.Phase != api.PhaseFailed {
		if d.Message == "" || reasons.explained() {
			d.Message = d.Reasons[0].Message
		}
	}
	return d
}

// clone copies what Assemble changes: a projection is kept by the caller and used again when a pod changes.
func clone(d api.Deployment) api.Deployment {
	d.Roles = append(make([]api.Role, 0, len(d.Roles)), d.Roles...)
	d.Conditions = append(make([]api.Condition, 0, len(d.Conditions)), d.Conditions...)
	d.Reasons = []api.Reason{}
	d.Pods = []api.PodSummary{}
	for _, replicas := range []**api.RoleReplicas{&d.PrefillReplicas, &d.DecodeReplicas} {
		if *replicas != nil {
			numbers := **replicas
			*replicas = &numbers
		}
	}
	if d.Endpoint != nil {
		endpoint := *d.Endpoint
		d.Endpoint = &endpoint
	}
	return d
}

// readPods reads the pods in the order of their names.
func readPods(pods []*corev1.Pod) []podState {
	states := make([]podState, 0, len(pods))
	for _, pod := range pods {
		if pod != nil {
			states = append(states, readPod(pod))
		}
	}
	slices.SortFunc(states, func(a, b podState) int { return cmp.Compare(a.pod.Name, b.pod.Name) })
	return states
}

// currentPod is a pod that is there to stay, of the version that serves.
type currentPod struct {
	*podState
	role string
	// replica: it holds the model, and not a frontend, say.
	replica bool
}

func currentPods(rt Runtime, p Projection, d *api.Deployment, states []podState, roles []string) []currentPod {
	counts := countsAsReplica(d.Roles)
	current := make([]currentPod, 0, len(states))
	for i := range states {
		s := &states[i]
		if s.deleting() || s.over() || p.Serving != "" && !slices.Contains(rt.PodClaims(s.pod), p.Serving) {
			continue
		}
		current = append(current, currentPod{s, roles[i], counts(roles[i])})
	}
	return current
}

// countReplicas counts ready pods as ready replicas, role by role. No more are ready than are desired: what is more is on
// its way out.
func countReplicas(d *api.Deployment, current []currentPod) {
	for i := range d.Roles {
		d.Roles[i].Ready = 0
	}
	ready := 0
	for _, pod := range current {
		if !pod.ready {
			continue
		}
		if pod.replica {
			ready++
		}
		if at := slices.IndexFunc(d.Roles, func(r api.Role) bool { return r.Name == pod.role }); at >= 0 {
			d.Roles[at].Ready = min(d.Roles[at].Ready+1, d.Roles[at].Desired)
		}
	}
	d.Replicas.Ready = min(ready, d.Replicas.Desired)
	d.Replicas.Available = d.Replicas.Ready
	for i := range d.Roles {
		switch role := &d.Roles[i]; {
		case role.Name == RolePrefill && d.PrefillReplicas != nil:
			d.PrefillReplicas.Ready = role.Ready
		case role.Name == RoleDecode && d.DecodeReplicas != nil:
			d.DecodeReplicas.Ready = role.Ready
		}
	}
}

// fillGPUs takes from the pods how many GPUs a replica has where the custom resource does not tell, such as a KAITO preset
// whose pods are laid out by the operator.
func fillGPUs(d *api.Deployment, states []podState, roles []string) {
	if d.Gpus > 0 {
		return
	}
	for i := range states {
		gpus := capacity.PodGPUs(states[i].pod)
		if gpus == 0 {
			continue
		}
		for j := range d.Roles {
			if d.Roles[j].Name == roles[i] {
				d.Roles[j].GpusPerReplica = max(d.Roles[j].GpusPerReplica, gpus)
			}
		}
	}
	for i := range d.Roles {
		d.Gpus += d.Roles[i].Desired * d.Roles[i].GpusPerReplica
	}
}
