package capacity

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// defaultPool is where nodes are that belong to no pool, as on bare metal.
const defaultPool = "default"

// poolLabels name a node's pool. A provider's own label comes before those of tools that run on several providers.
var poolLabels = []string{
	"agentpool", // AKS
	"kubernetes.azure.com/agentpool",
	"cloud.google.com/gke-nodepool",
	"eks.amazonaws.com/nodegroup",
	"alpha.eksctl.io/nodegroup-name",
	"karpenter.sh/nodepool", // Karpenter, AKS node auto-provisioning, EKS auto mode
	"karpenter.sh/provisioner-name",
	"hypershift.openshift.io/nodePool", // OpenShift with hosted control planes
	"ibm-cloud.kubernetes.io/worker-pool-name",
	"doks.digitalocean.com/node-pool",
	"compute.coreweave.com/node-pool",
	"worker.gardener.cloud/pool",
	"k8s.scaleway.com/pool-name",
	"vke.vultr.com/node-pool",
	"kubernetes.civo.com/civo-node-pool",
	"lke.linode.com/pool-id",
	"alibabacloud.com/nodepool-id",
}

const (
	// openShiftMachine holds `<namespace>/<machine set>-<random>`.
	openShiftMachine = "machine.openshift.io/machine"
	// Cluster API tells who owns the machine of a node.
	clusterAPIOwnerKind = "cluster.x-k8s.io/owner-kind"
	clusterAPIOwnerName = "cluster.x-k8s.io/owner-name"
)

func pool(node *corev1.Node) string {
	if name := label(node, poolLabels...); name != "" {
		return name
	}
	if _, machine, ok := strings.Cut(node.Annotations[openShiftMachine], "/"); ok {
		if i := strings.LastIndexByte(machine, '-'); i > 0 && !strings.Contains(machine, "-master-") {
			return machine[:i]
		}
	}
	if node.Annotations[clusterAPIOwnerKind] == "MachineSet" && node.Annotations[clusterAPIOwnerName] != "" {
		return node.Annotations[clusterAPIOwnerName]
	}
	return defaultPool
}
