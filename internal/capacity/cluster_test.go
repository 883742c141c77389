package capacity_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

func TestTotalsAndPools(t *testing.T) {
	nodes := []api.Node{
		{Name: "c", Pool: "l4", GpuCount: 4, AllocatedGpus: 1, AvailableGpus: 3, GpuMemoryGb: 24, GpuProduct: "NVIDIA-L4", InstanceType: "g6.12xlarge", Region: "eu"},
		{Name: "a", Pool: "h100", GpuCount: 8, AllocatedGpus: 8, GpuMemoryGb: 80, GpuProduct: "NVIDIA-H100"},
		{Name: "b", Pool: "h100", GpuCount: 8, AllocatedGpus: 9, GpuMemoryGb: 80, GpuProduct: "NVIDIA-H100"},
		{Name: "d", Pool: "system", InstanceType: "m5.large"},
	}
	assert.Equal(t, api.GpuTotals{
		TotalGpus: 20, AllocatedGpus: 18, AvailableGpus: 3, MaxContiguousAvailable: 3, MaxNodeGpuCapacity: 8,
		GpuNodeCount: 3, TotalMemoryGb: 24, PendingGpus: 5,
	}, capacity.Totals(nodes, 5))
	assert.Equal(t, api.NodePools{NodePools: []api.NodePool{
		{Name: "h100", GpuCount: 16, NodeCount: 2, GpuModel: "NVIDIA-H100", GpuMemoryGb: 80},
		{Name: "l4", GpuCount: 4, AvailableGpus: 3, NodeCount: 1, GpuModel: "NVIDIA-L4", GpuMemoryGb: 24, InstanceType: "g6.12xlarge", Region: "eu"},
		{Name: "system", NodeCount: 1, InstanceType: "m5.large"},
	}}, capacity.Pools(nodes))
	assert.Equal(t, "c", nodes[0].Name, "the nodes are left as they were")
}

func TestAnEmptyClusterHasNoPoolsRatherThanNull(t *testing.T) {
	assert.Equal(t, api.NodePools{NodePools: []api.NodePool{}}, capacity.Pools(nil))
	assert.Equal(t, api.GpuTotals{}, capacity.Totals(nil, 0))
}

func TestAPoolIsDescribedByANodeThatHasGPUs(t *testing.T) {
	pool := capacity.Pools([]api.Node{
		{Name: "a", Pool: "p", GpuProduct: "V100-16GB", GpuMemoryGb: 16},
		{Name: "b", Pool: "p", GpuProduct: "NVIDIA-H200", GpuMemoryGb: 140, GpuCount: 8},
	}).NodePools[0]
	assert.Equal(t, "NVIDIA-H200", pool.GpuModel)
	assert.Equal(t, 140, pool.GpuMemoryGb)
}

func TestTotalsAreTheSumOfTheNodesAndOfThePools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []api.Node
		available, total, most := 0, 0, 0
		for i := range rapid.IntRange(0, 12).Draw(t, "nodes") {
			node := capacity.Node(gpuNode("n"+strconv.Itoa(i), rapid.Int64Range(0, 16).Draw(t, "gpus"),
				labelled("agentpool", rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "pool"))),
				rapid.IntRange(0, 20).Draw(t, "allocated"))
			node.GpuMemoryGb = rapid.IntRange(0, 3).Draw(t, "memory")
			available, total, most = available+node.AvailableGpus, total+node.GpuCount, max(most, node.AvailableGpus)
			nodes = append(nodes, node)
		}
		totals, pools := capacity.Totals(nodes, 0), capacity.Pools(nodes)
		if totals.AvailableGpus != available || totals.TotalGpus != total || totals.MaxContiguousAvailable != most {
			t.Fatalf("%+v", totals)
		}
		count := 0
		for _, pool := range pools.NodePools {
			available, total, count = available-pool.AvailableGpus, total-pool.GpuCount, count+pool.NodeCount
		}
		if available != 0 || total != 0 || count != len(nodes) {
			t.Fatalf("pools %+v", pools)
		}
		order := rapid.Permutation(nodes).Draw(t, "order")
		assert.Equal(t, totals, capacity.Totals(order, 0))
		assert.Equal(t, pools, capacity.Pools(order))
	})
}
