package kaito

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// Scale implements runtimes.Runtime.
func (r *Runtime) Scale(obj *unstructured.Unstructured, replicas map[string]int) ([]runtimes.Change, []api.ErrorDetail) {
	s := runtimes.NewScaling(replicas, runtimes.RoleWorker)
	s.Set(obj.Object, runtimes.RoleWorker, "resource", "count")
	return s.Done()
}
