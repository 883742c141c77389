package capacity

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
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
	byType := instanceGPU(instanceType)
	product = cmp.Or(label(node, productLabels...), byType.product)
	// The label `accelerator` says "nvidia" on some providers and names the product on others.
	if other := node.Labels["accelerator"]; product == "" && productMemory(other) > 0 {
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
	if product == byType.product && byType.memory > 0 {
		return product, byType.memory
	}
	return product, productMemory(product)
}

// products are GPUs by the words of their names, and the memory of one in GiB as its maker states it. Of several entries
// whose words stand in a name, the one with most words is meant. A size within the name itself ("A100-SXM4-80GB") goes
// before this table.
var products = []struct {
	name   string
	memory int
}{
	// NVIDIA, for data centres.
	{"GB300", 288},
	{"B300", 288},
	{"GB200", 186},
	{"B200", 180},
	{"B100", 180},
	{"GH200", 96},
	{"GH200 144G", 144},
	{"H200", 141},
	{"H100", 80},
	{"H100 NVL", 94},
	{"H800", 80},
	{"H20", 96},
	{"H20 3E", 141},
	{"A100", 40},
	{"A100X", 80},
	{"A800", 80},
	{"A40", 48},
	{"A30", 24},
	{"A10", 24},
	{"A10G", 24},
	{"A10M", 24},
	{"A16", 16},
	{"A2", 16},
	{"L40S", 48},
	{"L40", 48},
	{"L20", 48},
	{"L4", 24},
	{"L2", 24},
	{"T4", 16},
	{"T4G", 16},
	{"V100", 16},
	{"V100S", 32},
	{"P100", 16},
	{"P40", 24},
	{"P4", 8},
	{"M60", 8},
	{"K80", 12},
	{"GB10", 128},
	// NVIDIA, for workstations.
	{"RTX PRO 6000", 96},
	{"RTX PRO 5000", 48},
	{"RTX PRO 4500", 32},
	{"RTX PRO 4000", 24},
	{"RTX 6000 ADA", 48},
	{"RTX 5000 ADA", 32},
	{"RTX 4500 ADA", 24},
	{"RTX 4000 ADA", 20},
	{"RTX 4000 SFF ADA", 20},
	{"RTX 2000 ADA", 16},
	{"A6000", 48},
	{"A5500", 24},
	{"A5000", 24},
	{"A4500", 20},
	{"A4000", 16},
	{"QUADRO RTX 8000", 48},
	{"QUADRO RTX 6000", 24},
	{"QUADRO RTX 5000", 16},
	{"QUADRO RTX 4000", 8},
	// NVIDIA, for gaming. The laptop versions have less memory and are not told apart without the label.
	{"RTX 5090", 32},
	{"RTX 5080", 16},
	{"RTX 5070 TI", 16},
	{"RTX 5070", 12},
	{"RTX 4090", 24},
	{"RTX 4080", 16},
	{"RTX 4070 TI SUPER", 16},
	{"RTX 4070 TI", 12},
	{"RTX 4070", 12},
	{"RTX 3090", 24},
	{"RTX 3080 TI", 12},
	{"RTX 3080", 10},
	{"TITAN RTX", 24},
	{"TITAN V", 12},
	// AMD. An MI250 shows as two devices with half of its 128 GB each.
	{"MI355X", 288},
	{"MI350X", 288},
	{"MI325X", 256},
	{"MI300X", 192},
	{"MI300A", 128},
	{"MI250X", 64},
	{"MI250", 64},
	{"MI210", 64},
	{"MI100", 32},
	{"V710", 28},
	{"V620", 32},
	{"V520", 8},
	{"W7900", 48},
	// Intel.
	{"MAX 1550", 128},
	{"MAX 1100", 48},
	{"FLEX 170", 16},
	{"FLEX 140", 6},
}

var (
	// migSlice finds the size of a slice, as in "A100-SXM4-80GB-MIG-1g.10gb".
	migSlice = regexp.MustCompile(`(?i)MIG-[0-9]+g\.([0-9]{1,3})gb`)
	// statedSize is a word such as 80GB. GH200 is the trap: the 480GB in its name are the CPU's memory.
	statedSize = regexp.MustCompile(`^([0-9]{1,3})GB$`)
)

// productMemory returns the memory of one GPU in GiB by its product name, 0 where the name is not known.
func productMemory(product string) int {
	if slice := migSlice.FindStringSubmatch(product); slice != nil {
		gib, _ := strconv.Atoi(slice[1])
		return gib
	}
	words := strings.FieldsFunc(strings.ToUpper(product), func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if !slices.Contains(words, "GH200") {
		for _, word := range words {
			if size := statedSize.FindStringSubmatch(word); size != nil {
				gib, _ := strconv.Atoi(size[1])
				return gib
			}
		}
	}
	memory, longest := 0, 0
	for _, known := range products {
		name := strings.Fields(known.name)
		if len(name) > longest && containsRun(words, name) {
			memory, longest = known.memory, len(name)
		}
	}
	return memory
}

// containsRun tells whether the words of run follow one another in words.
func containsRun(words, run []string) bool {
	for i := 0; i+len(run) <= len(words); i++ {
		if slices.Equal(words[i:i+len(run)], run) {
			return true
		}
	}
	return false
}
