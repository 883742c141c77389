// Package capacity does the arithmetic of GPUs: what a pod asks for, what a node has and has left, and what the cluster
// adds up to.
//
// Its one law: a GPU that is shown as available is one that a new pod could get now. So a node that is not ready, or that
// takes no new pods, has none available; available is never negative; and the cluster's number is the sum of its nodes',
// never total minus allocated, which differ as soon as one node is overcommitted or cordoned.
//
// Counted as GPUs are the resources that stand for whole devices: nvidia.com/gpu, amd.com/gpu, gpu.intel.com/i915 and
// gpu.intel.com/xe. Slices that have a resource name of their own (nvidia.com/mig-*, nvidia.com/gpu.shared) are not: seven
// slices of one GPU are not seven GPUs, and no runtime asks for them. Where the device plugin itself hands out slices as
// nvidia.com/gpu (MIG strategy "single", time slicing without renaming), they count as it says, and the memory of one is
// the slice's.
//
// All functions are pure and may be called from any goroutine; they do not change what they are given.
package capacity
