package capacity

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// Node returns the document of a node on which pods hold `allocated` GPUs.
func Node(node *corev1.Node, allocated int) api.Node {
	total := 0
	for _, name := range GPUResources() {
		total += count(node.Status.Allocatable[name])
	}
	allocated = max(allocated, 0)
	instanceType := label(node, "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
	product, memory := gpu(node, instanceType)
	doc := api.Node{
		Name:          node.Name,
		Pool:          pool(node),
		Schedulable:   !closed(node),
		GpuCount:      total,
		AllocatedGpus: allocated,
		GpuProduct:    product,
		GpuMemoryGb:   memory,
		InstanceType:  instanceType,
		Region:        label(node, "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
		Zone:          label(node, "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
	}
	doc.Ready, doc.Reason = ready(node)
	if doc.Ready && doc.Schedulable {
		doc.AvailableGpus = max(total-allocated, 0)
	}
	return doc
}

// ready reads the condition that the kubelet, or in its absence the node lifecycle controller, writes.
func ready(node *corev1.Node) (ok bool, reason string) {
	i := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	if i < 0 {
		return false, "the kubelet has not reported yet"
	}
	condition := node.Status.Conditions[i]
	if condition.Status == corev1.ConditionTrue {
		return true, ""
	}
	switch {
	case condition.Reason != "" && condition.Message != "":
		return false, condition.Reason + ": " + condition.Message
	default:
		return false, cmp.Or(condition.Message, condition.Reason, "the condition Ready is "+string(condition.Status))
	}
}

// closingTaints mark nodes that take no new pods because they are about to go, by the name of who marks them.
var closingTaints = []string{
	corev1.TaintNodeUnschedulable,
	"ToBeDeletedByClusterAutoscaler",
	"karpenter.sh/disrupted",
}

// closed tells whether the node is cordoned or about to be removed.
func closed(node *corev1.Node) bool {
	return node.Spec.Unschedulable || slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule && slices.Contains(closingTaints, t.Key)
	})
}

// label returns the first of these labels that has a value.
func label(node *corev1.Node, keys ...string) string {
	for _, key := range keys {
		if value := node.Labels[key]; value != "" {
			return value
		}
	}
	return ""
}
