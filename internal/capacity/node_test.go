package capacity_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/capacity"
)

// gpuNode is a ready node with GPUs.
func gpuNode(name string, gpus int64, change ...func(*corev1.Node)) *corev1.Node {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, f := range change {
		f(node)
	}
	return node
}

func labelled(pairs ...string) func(*corev1.Node) {
	return func(node *corev1.Node) {
		for i := 0; i < len(pairs); i += 2 {
			node.Labels[pairs[i]] = pairs[i+1]
		}
	}
}

func TestNodeTakesEverythingFromTheNode(t *testing.T) {
	node := gpuNode("gpu-1", 8, labelled(
		"agentpool", "h100",
		"nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3",
		"nvidia.com/gpu.memory", "81559",
		"node.kubernetes.io/instance-type", "Standard_ND96isr_H100_v5",
		"topology.kubernetes.io/region", "westeurope",
		"topology.kubernetes.io/zone", "westeurope-1",
	))
	assert.Equal(t, api.Node{
		Name: "gpu-1", Pool: "h100", Ready: true, Schedulable: true,
		GpuCount: 8, AllocatedGpus: 3, AvailableGpus: 5,
		GpuProduct: "NVIDIA-H100-80GB-HBM3", GpuMemoryGb: 80,
		InstanceType: "Standard_ND96isr_H100_v5", Region: "westeurope", Zone: "westeurope-1",
	}, capacity.Node(node, 3))
}

func TestNodeHasNothingAvailable(t *testing.T) {
	condition := func(c corev1.NodeCondition) func(*corev1.Node) {
		return func(node *corev1.Node) { node.Status.Conditions = []corev1.NodeCondition{c} }
	}
	tainted := func(key string) func(*corev1.Node) {
		return func(node *corev1.Node) {
			node.Spec.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}}
		}
	}
	for name, tt := range map[string]struct {
		change             func(*corev1.Node)
		allocated          int
		ready, schedulable bool
		reason             string
	}{
		"when all is taken":     {func(*corev1.Node) {}, 8, true, true, ""},
		"when it is overtaken":  {func(*corev1.Node) {}, 11, true, true, ""},
		"when it is cordoned":   {func(node *corev1.Node) { node.Spec.Unschedulable = true }, 0, true, false, ""},
		"when it is to go":      {tainted("ToBeDeletedByClusterAutoscaler"), 0, true, false, ""},
		"when it is disrupted":  {tainted("karpenter.sh/disrupted"), 0, true, false, ""},
		"when it never spoke":   {func(node *corev1.Node) { node.Status.Conditions = nil }, 0, false, true, "the kubelet has not reported yet"},
		"when it fell silent":   {condition(corev1.NodeCondition{Type: "Ready", Status: "Unknown", Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status."}), 0, false, true, "NodeStatusUnknown: Kubelet stopped posting node status."},
		"when it only says no":  {condition(corev1.NodeCondition{Type: "Ready", Status: "False"}), 0, false, true, "the condition Ready is False"},
		"when it says one word": {condition(corev1.NodeCondition{Type: "Ready", Status: "False", Reason: "KubeletNotReady"}), 0, false, true, "KubeletNotReady"},
	} {
		t.Run(name, func(t *testing.T) {
			node := capacity.Node(gpuNode("n", 8, tt.change), tt.allocated)
			assert.Zero(t, node.AvailableGpus)
			assert.Equal(t, tt.ready, node.Ready)
			assert.Equal(t, tt.schedulable, node.Schedulable)
			assert.Equal(t, tt.reason, node.Reason)
			assert.Equal(t, 8, node.GpuCount, "they are still there")
		})
	}
}

func TestAnOrdinaryTaintDoesNotCloseANode(t *testing.T) {
	node := gpuNode("n", 2, func(node *corev1.Node) {
		node.Spec.Taints = []corev1.Taint{{Key: "sku", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	})
	assert.Equal(t, 2, capacity.Node(node, 0).AvailableGpus)
}

func TestNodeCountsWholeGPUsOfEveryMaker(t *testing.T) {
	node := gpuNode("n", 0, func(node *corev1.Node) {
		node.Status.Allocatable = corev1.ResourceList{
			"nvidia.com/gpu":         resource.MustParse("1"),
			"amd.com/gpu":            resource.MustParse("2"),
			"gpu.intel.com/i915":     resource.MustParse("4"),
			"gpu.intel.com/xe":       resource.MustParse("8"),
			"nvidia.com/mig-1g.10gb": resource.MustParse("7"),
			"nvidia.com/gpu.shared":  resource.MustParse("10"),
			"cpu":                    resource.MustParse("96"),
		}
	})
	assert.Equal(t, 15, capacity.Node(node, 0).GpuCount)
}

func TestPool(t *testing.T) {
	annotated := func(pairs ...string) func(*corev1.Node) {
		return func(node *corev1.Node) {
			for i := 0; i < len(pairs); i += 2 {
				node.Annotations[pairs[i]] = pairs[i+1]
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*corev1.Node)
		want   string
	}{
		"none":       {func(*corev1.Node) {}, "default"},
		"AKS":        {labelled("kubernetes.azure.com/agentpool", "gpu"), "gpu"},
		"GKE":        {labelled("cloud.google.com/gke-nodepool", "a3"), "a3"},
		"EKS":        {labelled("eks.amazonaws.com/nodegroup", "p5"), "p5"},
		"Karpenter":  {labelled("karpenter.sh/nodepool", "spot"), "spot"},
		"HyperShift": {labelled("hypershift.openshift.io/nodePool", "np"), "np"},
		"own first":  {labelled("karpenter.sh/nodepool", "kaito", "agentpool", "ws1"), "ws1"},
		"OpenShift": {
			annotated("machine.openshift.io/machine", "openshift-machine-api/c1-x7k2p-gpu-eu-west-1a-9xk2q"),
			"c1-x7k2p-gpu-eu-west-1a",
		},
		"OpenShift control plane": {annotated("machine.openshift.io/machine", "openshift-machine-api/c1-x7k2p-master-0"), "default"},
		"Cluster API":             {annotated("cluster.x-k8s.io/owner-kind", "MachineSet", "cluster.x-k8s.io/owner-name", "md-0-abc"), "md-0-abc"},
		"Cluster API control plane": {
			annotated("cluster.x-k8s.io/owner-kind", "KubeadmControlPlane", "cluster.x-k8s.io/owner-name", "cp"),
			"default",
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, capacity.Node(gpuNode("n", 1, tt.change), 0).Pool)
		})
	}
}

func TestAvailableNeverExceedsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := gpuNode("n", rapid.Int64().Draw(t, "gpus"), func(node *corev1.Node) {
			node.Spec.Unschedulable = rapid.Bool().Draw(t, "cordoned")
			node.Status.Conditions[0].Status = rapid.SampledFrom([]corev1.ConditionStatus{"True", "False", "Unknown", ""}).Draw(t, "ready")
		})
		doc := capacity.Node(node, rapid.IntRange(-5, 1<<30).Draw(t, "allocated"))
		if doc.AvailableGpus < 0 || doc.AvailableGpus > doc.GpuCount || doc.GpuCount < 0 || doc.AllocatedGpus < 0 {
			t.Fatalf("%+v", doc)
		}
		if (!doc.Ready || !doc.Schedulable) && doc.AvailableGpus != 0 {
			t.Fatalf("takes no pods, and yet %d are available", doc.AvailableGpus)
		}
		if doc.Ready != (doc.Reason == "") {
			t.Fatalf("ready %v, reason %q", doc.Ready, doc.Reason)
		}
	})
}
