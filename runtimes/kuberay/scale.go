package kuberay

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// Scale implements runtimes.Runtime. A replica of a model is a Ray Serve replica and the worker that it runs on: both
// numbers are changed, and KubeRay takes that without a new cluster. Where Ray's autoscaler decides, the number is the least
// that it may go down to.
func (r *Runtime) Scale(obj *unstructured.Unstructured, replicas map[string]int) ([]runtimes.Change, []api.ErrorDetail) {
	groups := field.List(obj.Object, "spec", "rayClusterConfig", "workerGroupSpecs")
	var roles []string
	of := map[string][]int{}
	for i, element := range groups {
		m, _ := element.(map[string]any)
		role := groupRole(field.Text(m, "groupName"))
		if !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
		of[role] = append(of[role], i)
	}
	s := runtimes.NewScaling(replicas, roles...)
	automatic := field.Bool(obj.Object, "spec", "rayClusterConfig", "enableInTreeAutoscaling")
	for _, role := range roles {
		n, ok := s.Wanted(role)
		if !ok {
			continue
		}
		if len(of[role]) > 1 {
			s.Refuse(role, "has %d groups of workers; set the replicas of each with kubectl", len(of[role]))
			continue
		}
		group, _ := groups[of[role][0]].(map[string]any)
		if hosts, ok := field.Int(group, "numOfHosts"); ok && hosts > 1 {
			if n%hosts != 0 {
				s.Refuse(role, "must be a multiple of %d: a replica has as many hosts", hosts)
				continue
			}
			n /= hosts
		}
		path := []any{"spec", "rayClusterConfig", "workerGroupSpecs", of[role][0]}
		high, limited := field.Int(group, "maxReplicas")
		s.Change(obj.Object, int64(n), append(slices.Clone(path), "replicas")...)
		s.Change(obj.Object, int64(n), append(slices.Clone(path), "minReplicas")...)
		if limited && (!automatic || high < n) {
			s.Change(obj.Object, int64(n), append(slices.Clone(path), "maxReplicas")...)
		}
	}
	if config := field.Text(obj.Object, "spec", "serveConfigV2"); config != "" {
		if text := scaleServe(config, replicas, automatic); text != "" {
			s.Change(obj.Object, text, "spec", "serveConfigV2")
		}
	}
	return s.Done()
}

// scaleServe changes the replicas in serveConfigV2, as far as they are those of Ray Serve LLM. Empty where nothing changes: a
// text that people wrote keeps its comments then.
func scaleServe(text string, replicas map[string]int, automatic bool) string {
	var root map[string]any
	if yaml.Unmarshal([]byte(text), &root) != nil {
		return ""
	}
	changed := false
	for _, app := range field.Maps(root, "applications") {
		args := field.Map(app, "args")
		scale := func(role string, models ...map[string]any) {
			n, ok := replicas[role]
			for _, model := range models {
				if ok && model != nil {
					changed = scaleModel(model, n, automatic) || changed
				}
			}
		}
		if models := field.Maps(args, "llm_configs"); len(models) == 1 {
			scale(runtimes.RoleWorker, models...)
		}
		scale(runtimes.RolePrefill, field.Map(args, "prefill_config"))
		scale(runtimes.RoleDecode, field.Map(args, "decode_config"))
	}
	if !changed {
		return ""
	}
	out, err := marshal(root)
	if err != nil {
		return ""
	}
	return out
}

func scaleModel(model map[string]any, n int, automatic bool) bool {
	config := field.Map(model, "deployment_config")
	if was, ok := field.Int(config, "num_replicas"); ok {
		config["num_replicas"] = n
		return was != n
	}
	scaling := field.Map(config, "autoscaling_config")
	if scaling == nil {
		return false
	}
	low, _ := field.Int(scaling, "min_replicas")
	high, limited := field.Int(scaling, "max_replicas")
	scaling["min_replicas"] = n
	changed := low != n
	if want := max(n, 1); limited && want != high && (!automatic || high < want) { // Ray wants at least 1
		scaling["max_replicas"] = want
		changed = true
	}
	return changed
}
