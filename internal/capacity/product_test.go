package capacity_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

func TestMemoryOfProducts(t *testing.T) {
	for product, want := range map[string]int{
		"NVIDIA-A100-SXM4-80GB":          80,
		"NVIDIA-A100-SXM4-40GB":          40,
		"NVIDIA-A100-PCIE-80GB":          80,
		"nvidia-tesla-a100":              40,
		"nvidia-h100-mega-80gb":          80,
		"NVIDIA-H100-80GB-HBM3":          80,
		"NVIDIA-H100-NVL":                94,
		"NVIDIA-H200":                    141,
		"NVIDIA-B200":                    180,
		"NVIDIA-GB200":                   186,
		"NVIDIA-B300-SXM6-AC":            288,
		"NVIDIA-GH200-480GB":             96,
		"NVIDIA-GH200-144G-HBM3e":        144,
		"NVIDIA-A10":                     24,
		"NVIDIA-A10G":                    24,
		"NVIDIA-L4":                      24,
		"NVIDIA-L40":                     48,
		"NVIDIA-L40S":                    48,
		"Tesla-T4":                       16,
		"Tesla-V100-SXM2-32GB":           32,
		"Tesla-V100-PCIE-16GB":           16,
		"NVIDIA-GeForce-RTX-4090":        24,
		"NVIDIA-GeForce-RTX-3080-Ti":     12,
		"NVIDIA-GeForce-RTX-3080":        10,
		"NVIDIA-RTX-6000-Ada-Generation": 48,
		"NVIDIA-RTX-A6000":               48,
		"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition": 96,
		"Quadro-RTX-6000":                   24,
		"AMD_Instinct_MI300X_OAM":           192,
		"AMD_Instinct_MI325X_OAM":           256,
		"NVIDIA-A100-SXM4-80GB-MIG-1g.10gb": 10,
		"Max_1100":                          48,
		"l40s":                              48,
		"something else":                    0,
		"NVIDIA-A1000000":                   0,
	} {
		t.Run(product, func(t *testing.T) {
			node := capacity.Node(gpuNode("n", 1, labelled("nvidia.com/gpu.product", product)), 0)
			assert.Equal(t, want, node.GpuMemoryGb)
			assert.Equal(t, product, node.GpuProduct)
		})
	}
}

func TestMemoryLabelsComeFirst(t *testing.T) {
	product := []string{"nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB"}
	for name, tt := range map[string]struct {
		labels []string
		want   int
	}{
		"NVIDIA's":       {[]string{"nvidia.com/gpu.memory", "9728"}, 10},
		"Karpenter's":    {[]string{"karpenter.k8s.aws/instance-gpu-memory", "40960"}, 40},
		"AMD's":          {[]string{"amd.com/gpu.vram", "192G"}, 192},
		"small":          {[]string{"nvidia.com/gpu.memory", "100"}, 1},
		"not a number":   {[]string{"nvidia.com/gpu.memory", "lots"}, 80},
		"NaN":            {[]string{"nvidia.com/gpu.memory", "NaN"}, 80},
		"infinite":       {[]string{"nvidia.com/gpu.memory", "Inf"}, 80},
		"negative":       {[]string{"nvidia.com/gpu.memory", "-81920"}, 80},
		"of no use":      {[]string{"nvidia.com/gpu.memory", "0"}, 80},
		"AMD's, broken":  {[]string{"amd.com/gpu.vram", "G"}, 80},
		"AMD's, with iB": {[]string{"beta.amd.com/gpu.vram", "64GiB"}, 64},
	} {
		t.Run(name, func(t *testing.T) {
			node := gpuNode("n", 1, labelled(product...), labelled(tt.labels...))
			assert.Equal(t, tt.want, capacity.Node(node, 0).GpuMemoryGb)
		})
	}
}

func TestInstanceTypes(t *testing.T) {
	for name, want := range map[string]struct {
		product string
		memory  int
	}{
		"Standard_NV36ads_A10_v5":        {"A10", 24},
		"Standard_NV6ads_A10_v5":         {"A10", 4},
		"Standard_NC24ads_A100_v4":       {"A100-80GB", 80},
		"Standard_ND96asr_v4":            {"A100-40GB", 40},
		"Standard_ND96asr_A100_v4":       {"A100-40GB", 40},
		"Standard_ND96amsr_A100_v4":      {"A100-80GB", 80},
		"Standard_NC40ads_H100_v5":       {"H100-NVL", 94},
		"Standard_ND96isr_H100_v5":       {"H100-80GB", 80},
		"Standard_ND96isr_H200_v5":       {"H200", 141},
		"Standard_ND128isr_NDR_GB200_v6": {"GB200", 186},
		"Standard_ND96isr_MI300X_v5":     {"MI300X", 192},
		"Standard_NC4as_T4_v3":           {"T4", 16},
		"Standard_NC6s_v3":               {"V100-16GB", 16},
		"Standard_NC24rs_v3":             {"V100-16GB", 16},
		"Standard_ND40rs_v2":             {"V100-32GB", 32},
		"Standard_D4s_v3":                {"", 0},
		"p6-b200.48xlarge":               {"B200", 180},
		"p5.48xlarge":                    {"H100-80GB", 80},
		"p5en.48xlarge":                  {"H200", 141},
		"p4d.24xlarge":                   {"A100-40GB", 40},
		"p4de.24xlarge":                  {"A100-80GB", 80},
		"g4dn.xlarge":                    {"T4", 16},
		"g4ad.xlarge":                    {"V520", 8},
		"g5.xlarge":                      {"A10G", 24},
		"g5g.xlarge":                     {"T4G", 16},
		"g6.xlarge":                      {"L4", 24},
		"g6e.xlarge":                     {"L40S", 48},
		"m5.large":                       {"", 0},
		"a2-ultragpu-1g":                 {"A100-80GB", 80},
		"a2-highgpu-1g":                  {"A100-40GB", 40},
		"a3-ultragpu-8g":                 {"H200", 141},
		"a3-megagpu-8g":                  {"H100-80GB", 80},
		"a4-highgpu-8g":                  {"B200", 180},
		"g2-standard-4":                  {"L4", 24},
		"g2-gpu-rtx4000a1-s":             {"", 0},
		"n1-standard-4":                  {"", 0},
		"BM.GPU4.8":                      {"A100-40GB", 40},
		"VM.GPU.A10.2":                   {"A10", 24},
		"BM.GPU.H100.8":                  {"H100-80GB", 80},
	} {
		t.Run(name, func(t *testing.T) {
			node := capacity.Node(gpuNode("n", 1, labelled("node.kubernetes.io/instance-type", name)), 0)
			assert.Equal(t, want.product, node.GpuProduct)
			assert.Equal(t, want.memory, node.GpuMemoryGb)
		})
	}
}

func TestAcceleratorLabelOnlyWhereItNamesAProduct(t *testing.T) {
	assert.Empty(t, capacity.Node(gpuNode("n", 1, labelled("accelerator", "nvidia")), 0).GpuProduct)
	assert.Equal(t, "nvidia-tesla-t4", capacity.Node(gpuNode("n", 1, labelled("accelerator", "nvidia-tesla-t4")), 0).GpuProduct)
}

func FuzzNode(f *testing.F) {
	f.Add("NVIDIA-A100-SXM4-80GB", "81920", "Standard_NC24ads_A100_v4", "openshift-machine-api/a-b")
	f.Add("NVIDIA-A100-MIG-1g.999gb", "1e300", "p4d.", "/-")
	f.Fuzz(func(t *testing.T, product, memory, instanceType, machine string) {
		node := gpuNode("n", 1, labelled("nvidia.com/gpu.product", product, "nvidia.com/gpu.memory", memory,
			"node.kubernetes.io/instance-type", instanceType, "amd.com/gpu.vram", memory))
		node.Annotations["machine.openshift.io/machine"] = machine
		doc := capacity.Node(node, 0)
		if doc.GpuMemoryGb < 0 || doc.GpuMemoryGb > 1<<14 {
			t.Errorf("memory %d GiB", doc.GpuMemoryGb)
		}
		if doc.Pool == "" {
			t.Error("no pool")
		}
	})
}
