package autoscaler

import (
	"cmp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
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

// maker is what makes nodes of its own accord.
type maker struct {
	kind api.AutoscalerDetectionType
	name string
	// hidden: the provider runs it, and the cluster shows nothing of it but its nodes.
	hidden bool
}

// makerOf returns who made a node, and as part of what; it is false where nothing tells.
func makerOf(node *corev1.Node) (made maker, pool string, ok bool) {
	pool = cmp.Or(node.Labels["karpenter.sh/nodepool"], node.Labels["karpenter.sh/provisioner-name"])
	googlePool := node.Labels["cloud.google.com/gke-nodepool"]
	switch {
	case node.Labels["eks.amazonaws.com/compute-type"] == "auto":
		return maker{api.AutoscalerDetectionTypeEksAutoMode, "EKS auto mode", true}, pool, true
	case strings.HasPrefix(node.Name, "gk3-"):
		return maker{api.AutoscalerDetectionTypeGkeAutoprovisioning, "GKE Autopilot", true}, googlePool, true
	case strings.HasPrefix(googlePool, "nap-"):
		return maker{api.AutoscalerDetectionTypeGkeAutoprovisioning, "GKE node auto-provisioning", true}, googlePool, true
	case pool != "" && onAKS(node):
		return maker{api.AutoscalerDetectionTypeKarpenter, "AKS node auto-provisioning", true}, pool, true
	case pool != "":
		return maker{api.AutoscalerDetectionTypeKarpenter, "Karpenter", false}, pool, true
	}
	return maker{}, "", false
}

// seen is what the nodes tell.
type seen struct {
	aks, gke, eks bool
	made          int
	by            maker
	pools         map[string]bool
}

// look reads the nodes. Where several made some, the one by name counts, the same one for every order of the nodes.
func look(nodes []*corev1.Node) seen {
	s := seen{pools: map[string]bool{}}
	for _, node := range nodes {
		if node == nil {
			continue
		}
		s.aks = s.aks || onAKS(node)
		s.gke = s.gke || onGKE(node)
		s.eks = s.eks || onEKS(node)
		made, pool, ok := makerOf(node)
		if !ok {
			continue
		}
		if s.by.name == "" || made.name < s.by.name {
			s.by, s.made, s.pools = made, 0, map[string]bool{}
		}
		if made.name == s.by.name {
			s.made++
			if pool != "" {
				s.pools[pool] = true
			}
		}
	}
	return s
}

func onGKE(node *corev1.Node) bool {
	return node.Labels["cloud.google.com/gke-nodepool"] != "" || strings.HasPrefix(node.Spec.ProviderID, "gce://")
}

func onEKS(node *corev1.Node) bool {
	return node.Labels["eks.amazonaws.com/nodegroup"] != "" || node.Labels["eks.amazonaws.com/compute-type"] != ""
}

// fromNodes looks for autoscalers that show in the nodes that they made. Karpenter shows in its Deployment too, which tells
// whether it runs; what a provider runs out of sight is taken to be healthy, and the message says that this is not known.
func fromNodes(s seen, karpenter *appsv1.Deployment) api.AutoscalerDetection {
	d := api.AutoscalerDetection{Type: s.by.kind, Detected: true, Healthy: true, NodeGroupCount: len(s.pools)}
	made := ""
	if s.made > 0 {
		made = " It made " + counted(s.made, "node") + " of this cluster."
	}
	switch {
	case karpenter != nil && (s.made == 0 || !s.by.hidden):
		d.Type = api.AutoscalerDetectionTypeKarpenter
		var problem string
		if d.Healthy, problem = runs(karpenter); !d.Healthy {
			d.Message = "Karpenter is installed, but " + problem + " No nodes will be added." + made
		} else {
			d.Message = "Karpenter runs, and adds nodes that its node pools allow when pods need them." + made
		}
	case s.made > 0 && s.by.hidden:
		d.Message = s.by.name + " made " + counted(s.made, "node") + " of this cluster and adds more when pods need them. The provider runs it, so its health is not known."
	case s.made > 0:
		d.Message = s.by.name + " made " + counted(s.made, "node") + " of this cluster and adds more when pods need them. It does not run in " +
			StatusNamespace + ", so its health is not known."
	default:
		return none(s)
	}
	return d
}

// none says what could be switched on.
func none(s seen) api.AutoscalerDetection {
	d := api.AutoscalerDetection{Type: api.AutoscalerDetectionTypeNone}
	switch {
	case s.aks:
		d.Message = "No autoscaler was found. AKS can scale a node pool: az aks nodepool update --enable-cluster-autoscaler --min-count 0 --max-count 3 …"
	case s.gke:
		d.Message = "No autoscaler was found. GKE can scale a node pool: gcloud container clusters update --enable-autoscaling --min-nodes 0 --max-nodes 3 --node-pool …"
	case s.eks:
		d.Message = "No autoscaler was found. EKS scales no node group by itself: EKS auto mode, Karpenter or the cluster-autoscaler do."
	default:
		d.Message = "No autoscaler was found: pods that find no node wait until one is added by hand."
	}
	return d
}
