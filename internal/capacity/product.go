package capacity

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/internal/gpus"
)

// productLabels name a node's GPUs, the most precise first.
var productLabels = []string{
	"nvidia.com/gpu.product",
	"amd.com/gpu.product-name",
	"beta.amd.com/gpu.product-name",
	"gpu.intel.com/product",
	"gpu.nvidia.com/model",
	"cloud.google.com/gke-accelerator",
	"k8s.amazonaws.com/accelerator",
	"eks.amazonaws.com/instance-gpu-name",
	"karpenter.k8s.aws/instance-gpu-name",
	"karpenter.azure.com/sku-gpu-name",
}

// memoryLabels give the memory of one GPU in MiB.
var memoryLabels = []string{
	"nvidia.com/gpu.memory",
	"eks.amazonaws.com/instance-gpu-memory",
	"karpenter.k8s.aws/instance-gpu-memory",
}

// vramLabels give it in GiB, with or without a unit behind.
var vramLabels = []string{"amd.com/gpu.vram", "beta.amd.com/gpu.vram", "gpu.nvidia.com/vram"}

// gpu returns the product name of a node's GPUs and the memory of one in GiB; empty and 0 where nothing tells.
func gpu(node *corev1.Node, instanceType string) (product string, memory int) {
	typical, ofType := gpus.OfInstance(instanceType)
	product = cmp.Or(label(node, productLabels...), typical)
	// The label `accelerator` says "nvidia" on some providers and names the product on others.
	if other := node.Labels["accelerator"]; product == "" && gpus.Memory(other) > 0 {
		product = other
	}
	for _, key := range memoryLabels {
		if mib, err := strconv.ParseFloat(node.Labels[key], 64); err == nil && mib >= 1 && mib < 1<<24 {
			return product, max(int(math.Round(mib/1024)), 1)
		}
	}
	for _, key := range vramLabels {
		if gib, err := strconv.Atoi(strings.TrimRight(node.Labels[key], "GiB")); err == nil && gib > 0 && gib < 1<<14 {
			return product, gib
		}
	}
	if product == typical && ofType > 0 {
		return product, ofType
	}
	return product, gpus.Memory(product)
}
