package runtimes

import (
	"fmt"

	"github.com/kubefoundry/kubefoundry/api"
)

// GPUNeeds is what a deployment asks for.
type GPUNeeds struct {
	// Total is over all replicas of all roles, Replica what the largest one needs, on one node.
	Total, Replica int
}

// NeedsOf reads the needs from what a manifest comes to, so that they are those of the manifest and not of the wish.
func NeedsOf(p Projection) GPUNeeds {
	n := GPUNeeds{Total: p.Deployment.Gpus}
	for _, role := range p.Deployment.Roles {
		if role.Desired > 0 {
			n.Replica = max(n.Replica, role.GpusPerReplica)
		}
	}
	return n
}

// Warnings say what keeps the needs from being met: by the cluster as a whole, by its nodes, and by the model. minimum is what
// the model needs for one replica, 0 where that is not known. None is more than a warning: nodes may be added.
func (n GPUNeeds) Warnings(model string, cluster api.GpuTotals, minimum int) []string {
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, "⚠ "+fmt.Sprintf(format, args...)) }
	if n.Total > cluster.AvailableGpus {
		warn("Insufficient cluster GPUs: all replicas together ask for %d, and %d of %d are free", n.Total, cluster.AvailableGpus, cluster.TotalGpus)
	}
	if n.Replica > cluster.MaxContiguousAvailable {
		warn("Scheduling constraint: one replica asks for %d GPUs on one node, and no node has more than %d free (the largest has %d)",
			n.Replica, cluster.MaxContiguousAvailable, cluster.MaxNodeGpuCapacity)
	}
	if n.Total > 0 && n.Replica < minimum {
		warn("Model requirement: %s needs at least %d GPUs for a replica, and %d are asked for", model, minimum, n.Replica)
	}
	return warnings
}
