package nodes

import "fmt"

// Cloud is the flavour of a cluster's node names, pools, regions and instance
// types. A cluster has one.
type Cloud string

// The flavours.
const (
	Azure Cloud = "azure"
	GKE   Cloud = "gke"
	EKS   Cloud = "eks"
)

// ParseCloud reads the value of a flag.
func ParseCloud(s string) (Cloud, error) {
	switch c := Cloud(s); c {
	case Azure, GKE, EKS:
		return c, nil
	default:
		return "", fmt.Errorf("cloud %q is not known; use %s, %s or %s", s, Azure, GKE, EKS)
	}
}

// profile is what the machines of one pool have in common.
type profile struct {
	pool string
	// instance is the machine type by cloud.
	instance map[Cloud]string
	// cpu in cores, memory in GiB, of one machine
	cpu, memory int64
	gpu         gpu
}

// gpu is what GPU feature discovery finds on a machine.
type gpu struct {
	count   int64
	product string
	family  string
	// memoryMiB of one GPU as the driver reports it, which is somewhat less or
	// more than the product's name says
	memoryMiB int64
}

// bareMetal stands for machines that a cloud has no instance type for; code that
// looks for prices must get by without one.
const bareMetal = "bare-metal"

// gpuProfiles are used in turn, so that four nodes have all products.
func gpuProfiles() []profile {
	return []profile{
		{
			pool:     "a100pool",
			instance: map[Cloud]string{Azure: "Standard_ND96amsr_A100_v4", GKE: "a2-ultragpu-8g", EKS: "p4de.24xlarge"},
			cpu:      96, memory: 1152,
			gpu: gpu{count: 8, product: "NVIDIA-A100-SXM4-80GB", family: "ampere", memoryMiB: 81920},
		},
		{
			pool:     "h100pool",
			instance: map[Cloud]string{Azure: "Standard_ND96isr_H100_v5", GKE: "a3-highgpu-8g", EKS: "p5.48xlarge"},
			cpu:      96, memory: 1900,
			gpu: gpu{count: 8, product: "NVIDIA-H100-80GB-HBM3", family: "hopper", memoryMiB: 81559},
		},
		{
			pool:     "t4pool",
			instance: map[Cloud]string{Azure: "Standard_NC64as_T4_v3", GKE: "n1-standard-64", EKS: "g4dn.12xlarge"},
			cpu:      64, memory: 192,
			gpu: gpu{count: 4, product: "Tesla-T4", family: "turing", memoryMiB: 15360},
		},
		{
			pool:     "l40spool",
			instance: map[Cloud]string{Azure: bareMetal, GKE: bareMetal, EKS: "g6e.12xlarge"},
			cpu:      48, memory: 384,
			gpu: gpu{count: 4, product: "NVIDIA-L40S", family: "ada-lovelace", memoryMiB: 46068},
		},
	}
}

// cpuProfile is for operators and everything else without a GPU.
func cpuProfile() profile {
	return profile{
		pool:     "systempool",
		instance: map[Cloud]string{Azure: "Standard_D32ds_v5", GKE: "n2-standard-32", EKS: "m6i.8xlarge"},
		cpu:      32, memory: 128,
	}
}
