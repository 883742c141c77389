package watch

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

// However pods come, move and go, the ledger says what a full recount of the pods says.
func TestTheLedgerEqualsARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		pods := map[string]entry{}
		node := rapid.SampledFrom([]string{"", "a", "b", "c"})
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			name := strconv.Itoa(rapid.IntRange(0, 20).Draw(t, "pod"))
			next := entry{node: node.Draw(t, "node"), gpus: rapid.IntRange(0, 8).Draw(t, "gpus")}
			before, changed := l.set(name, next)
			held := pods[name]
			if held.gpus == 0 {
				held = entry{}
			}
			require.Equal(t, held, before)
			if next.gpus == 0 {
				require.Equal(t, before != entry{}, changed)
				delete(pods, name)
			} else {
				require.Equal(t, before != next, changed)
				pods[name] = next
			}
			nodes, pending := map[string]int{}, 0
			for _, e := range pods {
				if e.node == "" {
					pending += e.gpus
				} else {
					nodes[e.node] += e.gpus
				}
			}
			require.Equal(t, nodes, l.nodes)
			require.Equal(t, pending, l.waiting())
			require.Equal(t, nodes["a"], l.on("a"))
			requireSums(t, l, nodes, pending)
		}
	})
}

// requireSums compares the documents that are made of the ledger with a recount: of `held` GPUs on each node, and of those
// that pods wait for. Nodes a and b are one pool, c is another; pods may hold more than a node has.
func requireSums(t *rapid.T, l *ledger, held map[string]int, pending int) {
	var docs []api.Node
	allocated := 0
	free := map[string]int{}
	for _, at := range [][2]string{{"a", "first"}, {"b", "first"}, {"c", "second"}} {
		node, pool := at[0], at[1]
		docs = append(docs, capacity.Node(&corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{"agentpool": pool}},
			Status: corev1.NodeStatus{
				Allocatable: corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(8, resource.DecimalSI)},
				Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			},
		}, l.on(node)))
		free[pool] += max(8-held[node], 0)
		allocated += held[node]
	}
	totals := capacity.Totals(docs, l.waiting())
	require.Equal(t, []int{24, allocated, free["first"] + free["second"], pending},
		[]int{totals.TotalGpus, totals.AllocatedGpus, totals.AvailableGpus, totals.PendingGpus})
	require.Equal(t, api.NodePools{NodePools: []api.NodePool{
		{Name: "first", NodeCount: 2, GpuCount: 16, AvailableGpus: free["first"]},
		{Name: "second", NodeCount: 1, GpuCount: 8, AvailableGpus: free["second"]},
	}}, capacity.Pools(docs))
}
