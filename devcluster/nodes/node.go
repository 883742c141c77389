package nodes

import (
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// All nodes share one address and one kubelet; the API server tells them apart
// by the pod it asks for.
const (
	KubeletIP   = "10.255.255.1"
	KubeletPort = 10250
	// KubeletVersion is what all nodes report; the API server's.
	KubeletVersion = "v1.37.2"
)

const (
	gpuResource = "nvidia.com/gpu"
	// podsPerNode is what large managed clusters allow.
	podsPerNode = 250
)

// Plan says which nodes a cluster has.
type Plan struct {
	Cloud Cloud
	// GPU and CPU count nodes.
	GPU, CPU int
	// Taint keeps pods without a toleration off the GPU nodes.
	Taint bool
}

// Nodes returns the planned nodes, those without GPUs first.
func (p Plan) Nodes() []*corev1.Node {
	out := make([]*corev1.Node, 0, p.CPU+p.GPU)
	for i := range p.CPU {
		out = append(out, p.node(cpuProfile(), i))
	}
	profiles := gpuProfiles()
	for i := range p.GPU {
		out = append(out, p.node(profiles[i%len(profiles)], i/len(profiles)))
	}
	return out
}

// node describes machine number index of a pool.
func (p Plan) node(of profile, index int) *corev1.Node {
	place := p.Cloud.place(of, index)
	labels := map[string]string{
		corev1.LabelHostname:           place.name,
		corev1.LabelOSStable:           "linux",
		corev1.LabelArchStable:         "amd64",
		corev1.LabelInstanceTypeStable: of.instance[p.Cloud],
		corev1.LabelTopologyRegion:     place.region,
		corev1.LabelTopologyZone:       place.zone,
	}
	maps.Copy(labels, place.labels)
	resources := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(of.cpu, resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(of.memory<<30, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(podsPerNode, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(1<<40, resource.BinarySI),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: place.name, Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: place.providerID},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: KubeletIP},
				{Type: corev1.NodeHostName, Address: place.name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: KubeletPort}},
			NodeInfo: corev1.NodeSystemInfo{
				Architecture: "amd64", OperatingSystem: "linux", OSImage: "Ubuntu 24.04 LTS",
				KernelVersion: "6.8.0", ContainerRuntimeVersion: "containerd://2.1.0",
				KubeletVersion: KubeletVersion,
			},
		},
	}
	if of.gpu.count > 0 {
		labels["nvidia.com/gpu.present"] = "true"
		labels["nvidia.com/gpu.product"] = of.gpu.product
		labels["nvidia.com/gpu.family"] = of.gpu.family
		labels["nvidia.com/gpu.memory"] = strconv.FormatInt(of.gpu.memoryMiB, 10)
		labels["nvidia.com/gpu.count"] = strconv.FormatInt(of.gpu.count, 10)
		resources[gpuResource] = *resource.NewQuantity(of.gpu.count, resource.DecimalSI)
		if p.Taint {
			node.Spec.Taints = []corev1.Taint{{Key: gpuResource, Value: "present", Effect: corev1.TaintEffectNoSchedule}}
		}
	}
	node.Status.Capacity = resources
	node.Status.Allocatable = resources.DeepCopy()
	return node
}

// place is where a cloud puts a machine and how it names it.
type place struct {
	name, region, zone, providerID string
	labels                         map[string]string
}

func (c Cloud) place(of profile, index int) place {
	switch c {
	case GKE:
		zone := "us-central1-" + string(rune('a'+index%3))
		name := fmt.Sprintf("gke-kubefoundry-%s-%04d", of.pool, index)
		return place{
			name: name, region: "us-central1", zone: zone,
			providerID: "gce://kubefoundry/" + zone + "/" + name,
			labels:     map[string]string{"cloud.google.com/gke-nodepool": of.pool},
		}
	case EKS:
		zone := "us-east-1" + string(rune('a'+index%3))
		name := fmt.Sprintf("%s-%04d.ec2.internal", of.pool, index)
		return place{
			name: name, region: "us-east-1", zone: zone,
			providerID: fmt.Sprintf("aws:///%s/i-%s%04d", zone, of.pool, index),
			labels:     map[string]string{"eks.amazonaws.com/nodegroup": of.pool},
		}
	default:
		name := fmt.Sprintf("aks-%s-vmss%06d", of.pool, index)
		labels := map[string]string{
			"kubernetes.azure.com/cluster":   "kubefoundry",
			"kubernetes.azure.com/agentpool": of.pool,
		}
		// Older node pools carry the short label as well.
		if index%2 == 0 {
			labels["agentpool"] = of.pool
		}
		return place{
			name: name, region: "eastus", zone: "eastus-" + strconv.Itoa(1+index%3),
			providerID: "azure:///subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/kubefoundry/" +
				"providers/Microsoft.Compute/virtualMachineScaleSets/aks-" + of.pool + "-vmss/virtualMachines/" + strconv.Itoa(index),
			labels: labels,
		}
	}
}
