package capacity

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// Totals adds up the nodes. `pending` is what pods ask for that no node has taken yet. Nothing in it names a node or a pool.
func Totals(nodes []api.Node, pending int) api.GpuTotals {
	totals := api.GpuTotals{PendingGpus: max(pending, 0)}
	for i := range nodes {
		node := &nodes[i]
		totals.TotalGpus += node.GpuCount
		totals.AllocatedGpus += node.AllocatedGpus
		totals.AvailableGpus += node.AvailableGpus
		totals.MaxContiguousAvailable = max(totals.MaxContiguousAvailable, node.AvailableGpus)
		totals.MaxNodeGpuCapacity = max(totals.MaxNodeGpuCapacity, node.GpuCount)
		if node.GpuCount > 0 {
			totals.GpuNodeCount++
			totals.TotalMemoryGb = smallest(totals.TotalMemoryGb, node.GpuMemoryGb)
		}
	}
	return totals
}

// Pools adds up the nodes of each pool, by name. The result does not depend on the order of the nodes. It has an empty
// list, never null, where there are no nodes.
func Pools(nodes []api.Node) api.NodePools {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b api.Node) int { return strings.Compare(a.Name, b.Name) })
	pools := map[string]*api.NodePool{}
	for i := range nodes {
		node := &nodes[i]
		pool := pools[node.Pool]
		if pool == nil {
			pool = &api.NodePool{Name: node.Pool}
			pools[node.Pool] = pool
		}
		addToPool(pool, node)
	}
	out := api.NodePools{NodePools: make([]api.NodePool, 0, len(pools))}
	for _, pool := range pools {
		out.NodePools = append(out.NodePools, *pool)
	}
	slices.SortFunc(out.NodePools, func(a, b api.NodePool) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// addToPool counts a node in. What a pool says of its kind of machine comes from the first node by name that tells, but
// a node with GPUs tells more than one without: in a pool that is just growing, the device plugin of the newest node is
// not up yet.
func addToPool(pool *api.NodePool, node *api.Node) {
	if node.GpuCount > 0 && pool.GpuCount == 0 {
		pool.InstanceType = cmp.Or(node.InstanceType, pool.InstanceType)
		pool.Region = cmp.Or(node.Region, pool.Region)
		pool.GpuModel = cmp.Or(node.GpuProduct, pool.GpuModel)
		pool.GpuMemoryGb = cmp.Or(node.GpuMemoryGb, pool.GpuMemoryGb)
	}
	pool.NodeCount++
	pool.GpuCount += node.GpuCount
	pool.AvailableGpus += node.AvailableGpus
	pool.InstanceType = cmp.Or(pool.InstanceType, node.InstanceType)
	pool.Region = cmp.Or(pool.Region, node.Region)
	pool.GpuModel = cmp.Or(pool.GpuModel, node.GpuProduct)
	if node.GpuCount > 0 || pool.GpuCount == 0 {
		pool.GpuMemoryGb = smallest(pool.GpuMemoryGb, node.GpuMemoryGb)
	}
}

// smallest returns the smaller of two sizes of which zero means unknown.
func smallest(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
