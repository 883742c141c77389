package dynamo

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// Scale implements runtimes.Runtime.
func (r *Runtime) Scale(obj *unstructured.Unstructured, replicas map[string]int) ([]runtimes.Change, []api.ErrorDetail) {
	components := readComponents(obj.Object)
	var roles []string
	of := map[string][]component{}
	for _, c := range components {
		if !slices.Contains(roles, c.role) {
			roles = append(roles, c.role)
		}
		of[c.role] = append(of[c.role], c)
	}
	s := runtimes.NewScaling(replicas, roles...)
	for _, role := range roles {
		if _, ok := s.Wanted(role); !ok {
			continue
		}
		if len(of[role]) > 1 {
			s.Refuse(role, "has %d components (%s and others); set the replicas of each with kubectl", len(of[role]), of[role][0].name)
			continue
		}
		c := of[role][0]
		if field.Bool(c.spec, "scalingAdapter", "enabled") {
			s.Refuse(role, "is scaled by its DynamoGraphDeploymentScalingAdapter; scale that instead")
			continue
		}
		s.Set(obj.Object, role, append(path(obj.Object, c.name), "replicas")...)
	}
	return s.Done()
}

// path leads to a component, in whichever of the layouts it is.
func path(obj map[string]any, name string) []any {
	for i, element := range field.List(obj, "spec", "components") {
		if m, ok := element.(map[string]any); ok && field.Text(m, "name") == name {
			return []any{"spec", "components", i}
		}
	}
	if field.Map(obj, "spec", "services", name) != nil {
		return []any{"spec", "services", name}
	}
	return []any{"spec", name}
}
