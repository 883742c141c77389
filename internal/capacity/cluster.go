package capacity

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// Cluster adds up the nodes. `pending` is what pods ask for that no node has taken yet. The result does not depend on the
// order of the nodes.
func Cluster(nodes []api.Node, pending int) api.Capacity {
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b api.Node) int { return strings.Compare(a.Name, b.Name) })
	capacity := api.Capacity{NodePools: []api.NodePool{}, PendingGpus: max(pending, 0)}
	pools := map[string]*api.NodePool{}
	for i := range nodes {
		node := &nodes[i]
		capacity.TotalGpus += node.GpuCount
		capacity.AllocatedGpus += node.AllocatedGpus
		capacity.AvailableGpus += node.AvailableGpus
		capacity.MaxContiguousAvailable = max(capacity.MaxContiguousAvailable, node.AvailableGpus)
		capacity.MaxNodeGpuCapacity = max(capacity.MaxNodeGpuCapacity, node.GpuCount)
		if node.GpuCount > 0 {
			capacity.GpuNodeCount++
			capacity.TotalMemoryGb = smallest(capacity.TotalMemoryGb, node.GpuMemoryGb)
		}
		pool := pools[node.Pool]
		if pool == nil {
			pool = &api.NodePool{Name: node.Pool}
			pools[node.Pool] = pool
		}
		addToPool(pool, node)
	}
	for _, pool := range pools {
		capacity.NodePools = append(capacity.NodePools, *pool)
	}
	slices.SortFunc(capacity.NodePools, func(a, b api.NodePool) int { return strings.Compare(a.Name, b.Name) })
	return capacity
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
