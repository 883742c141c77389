package dynamo

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// ID is the runtime's id.
const ID = "dynamo"

// Labels that Dynamo's operator puts on pods, the same whether Deployments, LeaderWorkerSets or Grove run them.
const (
	labelGraph     = "nvidia.com/dynamo-graph-deployment-name"
	labelComponent = "nvidia.com/dynamo-component"
	labelType      = "nvidia.com/dynamo-component-type"
	labelSubType   = "nvidia.com/dynamo-sub-component-type"
)

// frontendPort is where a frontend listens.
const frontendPort = 8000

// Runtime is NVIDIA Dynamo.
type Runtime struct{ info runtimes.Info }

var _ runtimes.Runtime = (*Runtime)(nil)

// New returns the runtime.
func New() *Runtime {
	return &Runtime{runtimes.Info{
		ID:               ID,
		Name:             "NVIDIA Dynamo",
		DefaultNamespace: "dynamo-system",
		Resource: runtimes.Resource{
			Group: "nvidia.com",
			// v1alpha1 first: where it is the storage version it needs no conversion webhook, so it can be read while the
			// operator is down.
			Versions: []string{"v1alpha1", "v1beta1"},
			Plural:   "dynamographdeployments",
			Kind:     "DynamoGraphDeployment",
		},
		Operator: runtimes.Operator{Label: "app.kubernetes.io/name", Values: []string{"dynamo-operator"}},
	}}
}

// Info implements runtimes.Runtime.
func (r *Runtime) Info() runtimes.Info { return r.info }

// Project implements runtimes.Runtime.
func (r *Runtime) Project(obj *unstructured.Unstructured) runtimes.Projection {
	d := runtimes.NewDeployment(r.info, obj)
	components := readComponents(obj.Object)
	d.Engine = engine(obj.Object, components)
	var served string
	if d.ModelId, served = model(components); served != "" {
		d.ServedModelName = served
	}

	counted := fillReady(obj.Object, components)
	available := 0
	for i := range components {
		c := &components[i]
		d.Roles = runtimes.AddRole(d.Roles, api.Role{Name: c.role, Desired: c.replicas, Ready: c.ready, GpusPerReplica: c.gpus})
		switch c.role {
		case runtimes.RolePrefill, runtimes.RoleDecode:
			d.Mode = api.ModeDisaggregated
			available += c.available
		case runtimes.RoleWorker:
			available += c.available
		}
	}
	runtimes.SortRoles(d.Roles)
	runtimes.Sum(&d)
	d.Replicas.Available = available

	if d.Phase != api.PhaseTerminating {
		d.Phase, d.Message, d.Reasons = readStatus(obj.Object, d.Conditions)
	}
	frontend := d.Name + "-frontend"
	if name := frontendName(components); name != "" {
		frontend = d.Name + "-" + name
		d.Endpoint = &api.Endpoint{Service: frontend, Port: frontendPort}
	}
	d.FrontendService = fmt.Sprintf("%s:%d", frontend, frontendPort)
	return runtimes.Projection{Deployment: d, Claims: []string{claim(d.Name)}, CountPods: !counted}
}

// PodClaims implements runtimes.Runtime.
func (r *Runtime) PodClaims(pod *corev1.Pod) []string {
	if name := pod.Labels[labelGraph]; name != "" {
		return []string{claim(name)}
	}
	return nil
}

// PodRole implements runtimes.Runtime.
func (r *Runtime) PodRole(pod *corev1.Pod) string {
	kind, sub, name := pod.Labels[labelType], pod.Labels[labelSubType], pod.Labels[labelComponent]
	if kind == "" && sub == "" && name == "" {
		return ""
	}
	return role(kind, sub, name)
}

func claim(graph string) string { return ID + "/" + graph }
