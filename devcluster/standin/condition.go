package standin

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// condition is what a reconcile finds out about one condition.
type condition struct {
	kind    string
	status  string // True, False or Unknown
	reason  string
	message string
}

func holds(is bool) string {
	if is {
		return "True"
	}
	return "False"
}

// statusOf returns a deep copy of an object's status, empty if it has none.
func statusOf(object *unstructured.Unstructured) map[string]any {
	status, found, err := unstructured.NestedMap(object.Object, "status")
	if err != nil || !found {
		return map[string]any{}
	}
	return status
}

// setConditions writes conditions into a status, in place of those of the same
// type. The time of a transition stays until the status of the condition changes.
func setConditions(status map[string]any, generation int64, now time.Time, set ...condition) {
	list, _ := status["conditions"].([]any)
	for _, c := range set {
		next := map[string]any{
			"type": c.kind, "status": c.status, "reason": c.reason, "message": c.message,
			"observedGeneration": generation, "lastTransitionTime": stamp(now),
		}
		at := -1
		for i, item := range list {
			if old, ok := item.(map[string]any); ok && old["type"] == c.kind {
				at = i
				if old["status"] == c.status {
					next["lastTransitionTime"] = old["lastTransitionTime"]
				}
			}
		}
		if at < 0 {
			list = append(list, next)
		} else {
			list[at] = next
		}
	}
	status["conditions"] = list
}

// findCondition returns a condition of a status, or nothing.
func findCondition(status map[string]any, kind string) (condition, time.Time, bool) {
	list, _ := status["conditions"].([]any)
	for _, item := range list {
		c, ok := item.(map[string]any)
		if !ok || c["type"] != kind {
			continue
		}
		text := func(key string) string {
			s, _ := c[key].(string)
			return s
		}
		since, _ := time.Parse(time.RFC3339, text("lastTransitionTime"))
		return condition{kind: kind, status: text("status"), reason: text("reason"), message: text("message")}, since, true
	}
	return condition{}, time.Time{}, false
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
