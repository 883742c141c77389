package stages

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kwok "sigs.k8s.io/kwok/pkg/apis/v1alpha1"
)

// stage starts the definition of a stage for objects of kind.
func stage(kind, name string, when ...kwok.MatchExpression) *kwok.Stage {
	return &kwok.Stage{
		TypeMeta:   metav1.TypeMeta{APIVersion: kwok.GroupVersion.String(), Kind: kwok.StageKind},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: kwok.StageSpec{
			ResourceRef: kwok.StageResourceRef{APIGroup: "v1", Kind: kind},
			Selector:    &kwok.StageSelector{MatchExpressions: when},
		},
	}
}

// pod is a stage for pods that are not being deleted.
func pod(name string, when ...kwok.MatchExpression) *kwok.Stage {
	return stage("Pod", name, append([]kwok.MatchExpression{absent(".metadata.deletionTimestamp")}, when...)...)
}

// after delays s by milliseconds, or by what the jq expression from yields.
func after(s *kwok.Stage, milliseconds int64, from string) *kwok.Stage {
	s.Spec.Delay = &kwok.StageDelay{DurationMilliseconds: &milliseconds}
	if from != "" {
		s.Spec.Delay.DurationFrom = &kwok.ExpressionFrom{JQ: &kwok.ExpressionJQ{Expression: from}}
	}
	return s
}

// event records an event when the stage is reached.
func event(s *kwok.Stage, kind, reason, message string) *kwok.Stage {
	s.Spec.Steps = append(s.Spec.Steps, kwok.StageStep{
		Event: &kwok.StageEvent{Type: kind, Reason: reason, Message: message},
	})
	return s
}

// status writes the rendered template into the object's status.
func status(s *kwok.Stage, template string) *kwok.Stage {
	s.Spec.Steps = append(s.Spec.Steps, kwok.StageStep{
		Patch: &kwok.StagePatch{Subresource: "status", Root: "status", Template: template},
	})
	return s
}

// remove deletes the object.
func remove(s *kwok.Stage) *kwok.Stage {
	s.Spec.Steps = append(s.Spec.Steps, kwok.StageStep{Delete: true})
	return s
}

func in(jq string, values ...string) kwok.MatchExpression {
	return match(jq, kwok.SelectorOpIn, values)
}

// notIn is true too for an expression that yields nothing.
func notIn(jq string, values ...string) kwok.MatchExpression {
	return match(jq, kwok.SelectorOpNotIn, values)
}

func exists(jq string) kwok.MatchExpression { return match(jq, kwok.SelectorOpExists, nil) }

func absent(jq string) kwok.MatchExpression { return match(jq, kwok.SelectorOpDoesNotExist, nil) }

func match(jq string, operator kwok.SelectorOperator, values []string) kwok.MatchExpression {
	return kwok.MatchExpression{JQ: &kwok.SelectorJQ{Key: jq, Operator: operator, Values: values}}
}

// annotation is the jq expression for the value of an annotation.
func annotation(name string) string { return fmt.Sprintf(".metadata.annotations[%q]", name) }
