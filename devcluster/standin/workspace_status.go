package standin

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func workspaceDeleting() condition {
	return condition{"WorkspaceDeleting", "True", "workspaceDeleted", "The workspace is going away with its pods"}
}

// workspaceStatus is what the operator says of an inference workspace.
//
// Its state is Pending until the first time that everything is ready, then Ready
// or NotReady. KAITO has no Failed for inference: a crash loop, a missing image
// and a slow start all look the same here, and only the pods tell them apart.
func workspaceStatus(object *unstructured.Unstructured, spec workspace, enough bool, t tally, pods []*corev1.Pod, now time.Time) map[string]any {
	status := statusOf(object)
	established := status["state"] == "Ready" || status["state"] == "NotReady"
	status["targetNodeCount"] = int64(spec.Resource.Count)
	if workers := workerNodes(pods); len(workers) > 0 {
		status["workerNodes"] = workers
	} else {
		delete(status, "workerNodes")
	}
	set := []condition{{"NodesReady", "True", "NodesReady", "There are nodes enough"}}
	resource := condition{"ResourceReady", "True", "workspaceResourceStatusSuccess", "The resources of the workspace are there"}
	if !enough {
		set[0] = condition{"NodesReady", "False", "NodeNotReady", "Fewer ready nodes match the label selector than the workspace asks for"}
		resource.status, resource.reason, resource.message = "False", set[0].reason, set[0].message
	}
	if spec.Resource.InstanceType != "" {
		claims := condition{"NodeClaimReady", holds(enough), "NodeClaimsReady", "The node claims are met"}
		if !enough {
			claims.reason, claims.message = "NodeClaimNotReady", "Node claims wait for machines"
		}
		set = append(set, claims)
	}
	set = append(set, resource)
	if enough && t.allReady() {
		status["state"] = "Ready"
		set = append(set,
			condition{"InferenceReady", "True", "WorkspaceInferenceStatusSuccess", "All pods of the workload are ready"},
			condition{"WorkspaceSucceeded", "True", "workspaceSucceeded", "The workspace serves"})
	} else {
		status["state"] = "Pending"
		if established {
			status["state"] = "NotReady"
		}
		set = append(set,
			condition{"InferenceReady", "False", "WorkspaceInferenceStatusPending", "Not all pods of the workload are ready"},
			condition{"WorkspaceSucceeded", "False", "workspacePending", "The workspace waits for its workload"})
	}
	setConditions(status, object.GetGeneration(), now, set...)
	return status
}

// workerNodes are the nodes that the pods of a workspace run on. (The operator
// lists every node that matches the selector; on a cluster where all of them do,
// that would be the same long list in each workspace.)
func workerNodes(pods []*corev1.Pod) []any {
	names := map[string]bool{}
	for _, pod := range pods {
		if pod.Spec.NodeName != "" && pod.DeletionTimestamp == nil {
			names[pod.Spec.NodeName] = true
		}
	}
	var list []any
	for _, name := range slices.Sorted(maps.Keys(names)) {
		list = append(list, name)
	}
	return list
}
