package kaito

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// ID is the runtime's id.
const ID = "kaito"

// labelWorkspace is what KAITO puts on the pods of a Workspace: its name.
const labelWorkspace = "kaito.sh/workspace"

// Runtime is KAITO.
type Runtime struct{ info runtimes.Info }

var _ runtimes.Runtime = (*Runtime)(nil)

// New returns the runtime.
func New() *Runtime {
	return &Runtime{runtimes.Info{
		ID:               ID,
		Name:             "KAITO",
		DefaultNamespace: "kaito-workspace",
		Resource: runtimes.Resource{
			Group:    "kaito.sh",
			Versions: []string{"v1beta1", "v1alpha1"},
			Plural:   "workspaces",
			Kind:     "Workspace",
		},
		// The chart names itself "workspace"; earlier releases and the AKS add-on use the longer name.
		Operator: runtimes.Operator{Label: "app.kubernetes.io/name", Values: []string{"workspace", "kaito-workspace"}},
	}}
}

// Info implements runtimes.Runtime.
func (r *Runtime) Info() runtimes.Info { return r.info }

// Project implements runtimes.Runtime. A Workspace has no spec: resource and inference stand at the top.
func (r *Runtime) Project(obj *unstructured.Unstructured) runtimes.Projection {
	d := runtimes.NewDeployment(r.info, obj)
	w := readWorkload(obj.Object)
	d.Engine, d.ModelId = w.engine, w.model
	if w.served != "" {
		d.ServedModelName = w.served
	}

	desired := desiredNodes(obj.Object)
	s := readStatus(obj.Object, d.Conditions)
	if d.Phase != api.PhaseTerminating {
		d.Phase, d.Message = s.phase, s.message
		d.Reasons = s.reasons
	}
	ready := 0
	if s.phase == api.PhaseRunning {
		ready = desired // KAITO has no count; it says ready when all are
	}
	d.Roles = append(d.Roles, api.Role{Name: runtimes.RoleWorker, Desired: desired, Ready: ready, GpusPerReplica: w.gpus})
	runtimes.Sum(&d)

	d.Endpoint = endpoint(obj.Object, d.Name)
	d.FrontendService = fmt.Sprintf("%s:%d", d.Endpoint.Service, d.Endpoint.Port)
	return runtimes.Projection{Deployment: d, Claims: []string{claim(d.Name)}, CountPods: true}
}

// PodClaims implements runtimes.Runtime.
func (r *Runtime) PodClaims(pod *corev1.Pod) []string {
	if name := pod.Labels[labelWorkspace]; name != "" {
		return []string{claim(name)}
	}
	return nil
}

// PodRole implements runtimes.Runtime. The pods of a Workspace are all the same.
func (r *Runtime) PodRole(pod *corev1.Pod) string {
	if pod.Labels[labelWorkspace] != "" {
		return runtimes.RoleWorker
	}
	return ""
}

func claim(workspace string) string { return ID + "/" + workspace }

// desiredNodes is how many pods KAITO runs: what it has settled on, or else what is asked for.
func desiredNodes(obj map[string]any) int {
	if n, ok := field.Int(obj, "status", "targetNodeCount"); ok && n > 0 {
		return n
	}
	if n, ok := field.Int(obj, "resource", "count"); ok {
		return n
	}
	return 1
}

// endpoint is KAITO's own Service, or the one that KubeFoundry adds for its vLLM template: KAITO's leads to port 5000, where
// that template does not listen.
func endpoint(obj map[string]any, name string) *api.Endpoint {
	if field.Text(obj, "metadata", "labels", labelModelSource) == "vllm" {
		return &api.Endpoint{Service: name + "-vllm", Port: 8000}
	}
	return &api.Endpoint{Service: name, Port: 80}
}
