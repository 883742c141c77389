package runtimes

import (
	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// Conditions reads a list of Kubernetes conditions; what is no condition is left out. Never nil.
func Conditions(list []any) []api.Condition {
	conditions := make([]api.Condition, 0, len(list))
	for _, element := range list {
		m, ok := element.(map[string]any)
		if !ok || field.Text(m, "type") == "" {
			continue
		}
		conditions = append(conditions, api.Condition{
			Type:               field.Text(m, "type"),
			Status:             field.Text(m, "status"),
			Reason:             field.Text(m, "reason"),
			Message:            Steady(field.Text(m, "message")),
			LastTransitionTime: field.Text(m, "lastTransitionTime"),
		})
	}
	return conditions
}

// FindCondition returns the first condition of one of the types, the zero value where there is none.
func FindCondition(conditions []api.Condition, types ...string) api.Condition {
	for _, name := range types {
		for i := range conditions {
			if conditions[i].Type == name {
				return conditions[i]
			}
		}
	}
	return api.Condition{}
}

// OperatorReason makes a reason of what an operator says. It is nothing where it says nothing.
func OperatorReason(name, fallback, message string) []api.Reason {
	if name == "" {
		name = fallback
	}
	if name == "" || message == "" && name == fallback {
		return nil
	}
	if message == "" {
		message = name
	}
	return []api.Reason{{Reason: name, Message: Steady(message)}}
}
