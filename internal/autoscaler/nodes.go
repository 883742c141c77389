package autoscaler

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// aksPools counts the node pools that AKS scales.
func aksPools(nodes []*corev1.Node) int {
	pools := map[string]bool{}
	for _, node := range nodes {
		if node != nil && onAKS(node) && node.Labels["cluster-autoscaler.kubernetes.io/enabled"] == "true" {
			pool := node.Labels["kubernetes.azure.com/agentpool"]
			if pool == "" {
				pool = node.Labels["agentpool"]
			}
			pools[pool] = true
		}
	}
	return len(pools)
}

func onAKS(node *corev1.Node) bool {
	return node.Labels["kubernetes.azure.com/cluster"] != "" || strings.HasPrefix(node.Spec.ProviderID, "azure://")
}

// maker returns who made a node of its own accord, empty where nothing tells.
func maker(node *corev1.Node) string {
	switch {
	case node.Labels["eks.amazonaws.com/compute-type"] == "auto":
		return "EKS auto mode"
	case strings.HasPrefix(node.Labels["cloud.google.com/gke-nodepool"], "nap-"):
		return "GKE node auto-provisioning"
	case node.Labels["karpenter.sh/nodepool"] != "", node.Labels["karpenter.sh/provisioner-name"] != "":
		return "Karpenter"
	}
	return ""
}

// fromNodes looks for autoscalers that show in nothing but the nodes that they made. The API has no type of their own for
// them: the message names them.
func fromNodes(nodes []*corev1.Node) api.AutoscalerDetection {
	made, first, aks := 0, "", false
	for _, node := range nodes {
		if node == nil {
			continue
		}
		aks = aks || onAKS(node)
		if m := maker(node); m != "" {
			made++
			// The same one for every order of the nodes.
			if first == "" || m < first {
				first = m
			}
		}
	}
	switch {
	case made > 0:
		return api.AutoscalerDetection{
			Type: api.AutoscalerDetectionTypeUnknown, Detected: true, Healthy: true,
			Message: first + " made " + counted(made, "node") + " of this cluster and adds more when pods need them. Its health is not known.",
		}
	case aks:
		return api.AutoscalerDetection{
			Type:    api.AutoscalerDetectionTypeNone,
			Message: "No autoscaler was found. AKS can scale a node pool: az aks nodepool update --enable-cluster-autoscaler --min-count 0 --max-count 3 …",
		}
	}
	return api.AutoscalerDetection{Type: api.AutoscalerDetectionTypeNone, Message: "No autoscaler was found: pods that find no node wait until one is added by hand."}
}
