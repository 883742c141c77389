package autoscaler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// Stale is the age from which a status says that the cluster-autoscaler has stopped: it writes one every 10 s.
const Stale = 5 * time.Minute

// Input is what Detect looks at. All of it may be missing.
type Input struct {
	Nodes []*corev1.Node
	// Status is the ConfigMap StatusName in StatusNamespace.
	Status *corev1.ConfigMap
	// Deployments are those that may run the cluster-autoscaler; others are passed over.
	Deployments []*appsv1.Deployment
	Now         time.Time
}

// Detect returns the document of kind `autoscaler`.
func Detect(in Input) api.Autoscaler {
	var doc api.Autoscaler
	var known status
	var err error
	if in.Status != nil {
		if known, err = parse(in.Status); err == nil {
			doc.Status = known.document()
		}
	}
	managed := aksPools(in.Nodes)
	nodes := look(in.Nodes)
	i := slices.IndexFunc(in.Deployments, isClusterAutoscaler)
	switch {
	case managed > 0:
		doc.Detection = fromAKS(managed, doc.Status != nil, known, in.Now)
	case in.Status != nil:
		doc.Detection = fromStatus(known, err, in.Now)
		if nodes.gke {
			doc.Detection.Type = api.AutoscalerDetectionTypeGkeAutoscaler
			doc.Detection.Message = strings.Replace(doc.Detection.Message, "The cluster-autoscaler", "The cluster-autoscaler of GKE", 1)
		}
	case i >= 0:
		doc.Detection = fromDeployment(in.Deployments[i])
	default:
		var karpenter *appsv1.Deployment
		if j := slices.IndexFunc(in.Deployments, isKarpenter); j >= 0 {
			karpenter = in.Deployments[j]
		}
		doc.Detection = fromNodes(nodes, karpenter)
	}
	return doc
}

// fromAKS believes the labels of the node pools, and the status where there is one: the autoscaler that AKS runs out of
// sight writes it too.
func fromAKS(pools int, hasStatus bool, known status, now time.Time) api.AutoscalerDetection {
	d := api.AutoscalerDetection{Healthy: true}
	if hasStatus {
		d = fromStatus(known, nil, now)
	}
	if d.Healthy {
		d.Message = "AKS adds nodes to " + counted(pools, "node pool") + " when pods need them."
	}
	d.Type, d.Detected, d.NodeGroupCount = api.AutoscalerDetectionTypeAksManaged, true, pools
	return d
}

func fromStatus(known status, err error, now time.Time) api.AutoscalerDetection {
	d := api.AutoscalerDetection{
		Type: api.AutoscalerDetectionTypeClusterAutoscaler, Detected: true, Healthy: true,
		NodeGroupCount: len(known.groups), LastActivity: formatTime(known.time),
	}
	on := ""
	if d.NodeGroupCount > 0 {
		on = " on " + counted(d.NodeGroupCount, "node group")
	}
	age := now.Sub(known.time)
	switch {
	case err != nil:
		d.Healthy = false
		d.Message = "The cluster-autoscaler keeps a status, but it cannot be read: see the ConfigMap " +
			StatusNamespace + "/" + StatusName + "."
	case !known.time.IsZero() && age > Stale:
		d.Healthy = false
		d.Message = fmt.Sprintf("The cluster-autoscaler has not written its status for %s: it may have stopped. No nodes will be added.", spoken(age))
	case known.health == "Unhealthy":
		d.Healthy = false
		d.Message = "The cluster-autoscaler runs" + on + ", but finds the cluster unhealthy and adds no nodes until that is over."
	case strings.EqualFold(known.state, "Initializing"):
		d.Message = "The cluster-autoscaler is starting" + on + "."
	default:
		d.Message = "The cluster-autoscaler runs" + on + "."
	}
	return d
}

// isClusterAutoscaler knows the Deployment by the labels of its manifests and of its chart, or by its name.
func isClusterAutoscaler(d *appsv1.Deployment) bool {
	const name = "cluster-autoscaler"
	return d != nil && (d.Labels["app"] == name || strings.HasSuffix(d.Labels["app.kubernetes.io/name"], name) ||
		d.Labels["k8s-app"] == name || strings.Contains(d.Name, name))
}

// isKarpenter knows the Deployment by the label of its chart, or by its name.
func isKarpenter(d *appsv1.Deployment) bool {
	return d != nil && (d.Labels["app.kubernetes.io/name"] == "karpenter" || d.Name == "karpenter")
}

// runs tells whether all of a Deployment's replicas are ready, and what is wrong where they are not.
func runs(d *appsv1.Deployment) (ok bool, problem string) {
	desired := int32(1) // what Kubernetes makes of a missing number
	if d.Spec.Replicas != nil {
		desired = *d.Spec.Replicas
	}
	name := d.Namespace + "/" + d.Name
	switch ready := d.Status.ReadyReplicas; {
	case desired <= 0:
		return false, "scaled to zero: see the Deployment " + name + "."
	case ready < desired:
		return false, fmt.Sprintf("%d of %d replicas are ready: see the Deployment %s.", ready, desired, name)
	}
	return true, ""
}

func fromDeployment(deployment *appsv1.Deployment) api.AutoscalerDetection {
	d := api.AutoscalerDetection{Type: api.AutoscalerDetectionTypeClusterAutoscaler, Detected: true}
	var problem string
	if d.Healthy, problem = runs(deployment); !d.Healthy {
		d.Message = "The cluster-autoscaler is installed, but " + problem
		return d
	}
	d.Message = "The cluster-autoscaler runs. It has not written a status, so its node groups are not known."
	return d
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// spoken rounds down to one unit, so that a document does not change every second.
func spoken(age time.Duration) string {
	switch {
	case age >= 48*time.Hour:
		return counted(int(age/(24*time.Hour)), "day")
	case age >= 2*time.Hour:
		return counted(int(age/time.Hour), "hour")
	default:
		return counted(int(age/time.Minute), "minute")
	}
}
