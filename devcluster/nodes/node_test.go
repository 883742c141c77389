package nodes

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	for cloud, pool := range map[Cloud]string{
		Azure: "kubernetes.azure.com/agentpool",
		GKE:   "cloud.google.com/gke-nodepool",
		EKS:   "eks.amazonaws.com/nodegroup",
	} {
		nodes := Plan{Cloud: cloud, GPU: 9, CPU: 2, Taint: true}.Nodes()
		if len(nodes) != 11 {
			t.Fatalf("%s: %d nodes, want 11", cloud, len(nodes))
		}
		names, products := map[string]bool{}, map[string]int{}
		for _, node := range nodes {
			if problems := validation.IsDNS1123Subdomain(node.Name); len(problems) > 0 || names[node.Name] {
				t.Errorf("%s: name %q is taken or not valid: %v", cloud, node.Name, problems)
			}
			names[node.Name] = true
			for key, value := range node.Labels {
				if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
					t.Errorf("%s: label %s=%s: %v", node.Name, key, value, problems)
				}
			}
			if node.Labels[pool] == "" || node.Labels[corev1.LabelInstanceTypeStable] == "" {
				t.Errorf("%s: no pool or instance type in %v", node.Name, node.Labels)
			}
			if !strings.HasPrefix(node.Labels[corev1.LabelTopologyZone], node.Labels[corev1.LabelTopologyRegion]) {
				t.Errorf("%s: zone %s is not in region %s", node.Name,
					node.Labels[corev1.LabelTopologyZone], node.Labels[corev1.LabelTopologyRegion])
			}
			gpus := node.Status.Allocatable[gpuResource]
			product := node.Labels["nvidia.com/gpu.product"]
			if (gpus.Value() > 0) != (product != "") || (len(node.Spec.Taints) > 0) != (product != "") {
				t.Errorf("%s: %d GPUs of product %q with taints %v", node.Name, gpus.Value(), product, node.Spec.Taints)
			}
			products[product]++
		}
		if len(products) != 5 {
			t.Errorf("%s: want four GPU products and none, got %v", cloud, products)
		}
	}
}

func TestParseCloud(t *testing.T) {
	t.Parallel()
	if cloud, err := ParseCloud("gke"); err != nil || cloud != GKE {
		t.Errorf("gke: %v, %v", cloud, err)
	}
	if _, err := ParseCloud("mars"); err == nil {
		t.Error("mars is not a cloud")
	}
}
