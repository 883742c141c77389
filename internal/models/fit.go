package models

import (
	"cmp"
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/kubefoundry/kubefoundry/api"
)

//go:embed products.yaml
var productsYAML []byte

// Product is a GPU.
type Product struct {
	Product  string `json:"product"`
	MemoryGb int    `json:"memoryGb"`
}

// Products are GPUs that a cluster may get.
var Products = sync.OnceValue(func() []Product {
	var file struct {
		Products []Product `json:"products"`
	}
	mustRead("products.yaml", productsYAML, &file)
	return file.Products
})

// maxGPUs is the most for one replica that an answer goes to.
const maxGPUs = 64

// TensorParallel are the sizes into which a model can be split, from least to most. Each part takes as many attention heads;
// the heads of the KV cache are shared out too, or copied where there are fewer than parts. Where heads are unknown, powers of
// two are what nearly all models can do.
func (s Shape) TensorParallel(least, most int) []int {
	sizes := []int{}
	for n := max(least, 1); n <= most; n++ {
		if s.AttentionHeads > 0 {
			if s.AttentionHeads%n != 0 || s.KVHeads > 0 && s.KVHeads%n != 0 && n%s.KVHeads != 0 {
				continue
			}
		} else if n&(n-1) != 0 {
			continue
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// On tells how many GPUs of a product one replica takes.
func (s Shape) On(p Product, memory api.MemoryEstimate) api.ProductFit {
	fit := api.ProductFit{Product: p.Product, MemoryGb: p.MemoryGb, TensorParallel: []int{}}
	if !memory.Known || p.MemoryGb <= 0 {
		return fit
	}
	least := int(math.Min(math.Ceil(memory.TotalGb/float64(p.MemoryGb)), maxGPUs+1))
	if fit.TensorParallel = s.TensorParallel(least, maxGPUs); len(fit.TensorParallel) > 0 {
		fit.Gpus = &fit.TensorParallel[0]
	}
	return fit
}

// Group is the GPUs of one product in the cluster.
type Group struct {
	Product
	Total, Available int
	// MaxNode and MaxNodeAvailable are the most that one node has, in all and left.
	MaxNode, MaxNodeAvailable int
	Pools                     []string
}

// Groups sorts the GPUs of nodes by product and memory.
func Groups(nodes []api.Node) []Group {
	groups := map[Product]*Group{}
	for i := range nodes {
		node := &nodes[i]
		if node.GpuCount == 0 {
			continue
		}
		product := Product{node.GpuProduct, node.GpuMemoryGb}
		g := groups[product]
		if g == nil {
			g = &Group{Product: product}
			groups[product] = g
		}
		g.Total += node.GpuCount
		g.Available += node.AvailableGpus
		g.MaxNode, g.MaxNodeAvailable = max(g.MaxNode, node.GpuCount), max(g.MaxNodeAvailable, node.AvailableGpus)
		if !slices.Contains(g.Pools, node.Pool) {
			g.Pools = append(g.Pools, node.Pool)
		}
	}
	all := make([]Group, 0, len(groups))
	for _, g := range groups {
		slices.Sort(g.Pools)
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(strings.Compare(a.Product.Product, b.Product.Product), cmp.Compare(a.MemoryGb, b.MemoryGb))
	})
	return all
}

// In tells whether one replica fits onto a node with GPUs of a group, now or at all.
func (s Shape) In(g Group, memory api.MemoryEstimate) api.ClusterFit {
	on := s.On(g.Product, memory)
	fit := api.ClusterFit{
		Product: on.Product, MemoryGb: on.MemoryGb, Gpus: on.Gpus, TensorParallel: on.TensorParallel, Pools: g.Pools,
		TotalGpus: g.Total, AvailableGpus: g.Available, MaxNodeGpus: g.MaxNode, MaxNodeAvailable: g.MaxNodeAvailable,
	}
	name := cmp.Or(g.Product.Product, "these GPUs")
	switch {
	case !memory.Known:
		fit.Verdict, fit.Reason = api.FitVerdictUnknown, "nothing tells how much memory the model needs"
	case g.MemoryGb <= 0:
		fit.Verdict, fit.Reason = api.FitVerdictUnknown, fmt.Sprintf("the nodes do not tell how much memory %s have", name)
	case on.Gpus == nil:
		fit.Verdict = api.FitVerdictDoesNotFit
		fit.Reason = fmt.Sprintf("it needs %.0f GiB, more than %d times %s of %d GiB", math.Ceil(memory.TotalGb), maxGPUs, name, g.MemoryGb)
	case *on.Gpus <= g.MaxNodeAvailable:
		fit.Verdict = api.FitVerdictFitsNow
		fit.Reason = fmt.Sprintf("it needs %s of %d GiB, and a node has %d free", gpus(*on.Gpus), g.MemoryGb, g.MaxNodeAvailable)
	case *on.Gpus <= g.MaxNode:
		fit.Verdict = api.FitVerdictFitsWhenScaled
		fit.Reason = fmt.Sprintf("it needs %s in one node, and the most that a node has free is %d of %d: stop something, or add a node of this kind",
			gpus(*on.Gpus), g.MaxNodeAvailable, g.MaxNode)
	default:
		fit.Verdict = api.FitVerdictDoesNotFit
		fit.Reason = fmt.Sprintf("it needs %s of %d GiB in one node, and no node has more than %d: take a smaller or quantised model, a shorter context, or larger nodes",
			gpus(*on.Gpus), g.MemoryGb, g.MaxNode)
	}
	return fit
}

func gpus(n int) string {
	if n == 1 {
		return "1 GPU"
	}
	return fmt.Sprintf("%d GPUs", n)
}
