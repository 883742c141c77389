package standin

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// graphStatus is what the operator says of a graph: successful when every
// component has its replicas, pending until then and again whenever one is
// missing. A crash loop is pending too; failed is for errors of the operator
// itself, which a stand-in does not have.
func graphStatus(object *unstructured.Unstructured, parts []part, pods []*corev1.Pod, now time.Time) map[string]any {
	status := statusOf(object)
	services, components := map[string]any{}, map[string]any{}
	var waiting []string
	for _, p := range parts {
		t := count(p.replicas, p.template.hash, withLabel(pods, labelComponent, p.name))
		entry := map[string]any{
			"componentKind":     "Deployment",
			"componentNames":    []any{p.workload(object.GetName())},
			"replicas":          int64(t.total),
			"updatedReplicas":   int64(t.updated),
			"readyReplicas":     int64(t.ready),
			"availableReplicas": int64(t.ready),
		}
		if p.beta {
			components[p.name] = entry
		} else {
			entry["componentName"] = p.workload(object.GetName())
			services[p.name] = entry
		}
		if !t.allReady() || t.updated < p.replicas || t.total > p.replicas {
			waiting = append(waiting, fmt.Sprintf("%s: desired=%d, ready=%d", p.workload(object.GetName()), p.replicas, t.ready))
		}
	}
	put(status, "services", services)
	put(status, "components", components)
	status["observedGeneration"] = object.GetGeneration()
	ready := condition{"Ready", "True", "all_resources_are_ready", "Every component has its replicas"}
	status["state"] = "successful"
	if len(waiting) > 0 {
		status["state"] = "pending"
		ready = condition{"Ready", "False", "some_resources_are_not_ready", "Waiting for " + strings.Join(waiting, "; ")}
	}
	setConditions(status, object.GetGeneration(), now, ready)
	return status
}

// put sets a map in a status, or removes it if it is empty.
func put(status map[string]any, key string, value map[string]any) {
	if len(value) == 0 {
		delete(status, key)
		return
	}
	status[key] = value
}
