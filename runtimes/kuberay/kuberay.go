package kuberay

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// ID is the runtime's id.
const ID = "kuberay"

// Labels that KubeRay puts on pods. The last two are on what belongs to a RayService, but not on pods in every release.
const (
	labelCluster  = "ray.io/cluster"
	labelNodeType = "ray.io/node-type"
	labelGroup    = "ray.io/group"
	labelFromName = "ray.io/originated-from-cr-name"
	labelFromKind = "ray.io/originated-from-crd"
)

// servePort is Ray Serve's default.
const servePort = 8000

// Runtime is KubeRay.
type Runtime struct{ info runtimes.Info }

var _ runtimes.Runtime = (*Runtime)(nil)

// New returns the runtime.
func New() *Runtime {
	return &Runtime{runtimes.Info{
		ID:               ID,
		Name:             "Ray Serve via KubeRay",
		DefaultNamespace: "kuberay-system",
		Resource: runtimes.Resource{
			Group:    "ray.io",
			Versions: []string{"v1", "v1alpha1"},
			Plural:   "rayservices",
			Kind:     "RayService",
		},
		Operator: runtimes.Operator{Label: "app.kubernetes.io/name", Values: []string{"kuberay-operator", "kuberay"}},
	}}
}

// Info implements runtimes.Runtime.
func (r *Runtime) Info() runtimes.Info { return r.info }

// Project implements runtimes.Runtime.
func (r *Runtime) Project(obj *unstructured.Unstructured) runtimes.Projection {
	d := runtimes.NewDeployment(r.info, obj)
	d.Engine = api.EngineVllm // the only one that Ray Serve LLM runs
	config := readServeConfig(field.Text(obj.Object, "spec", "serveConfigV2"))
	d.ModelId = config.model()
	if served := config.served(); served != "" {
		d.ServedModelName = served
	}
	if config.disaggregated {
		d.Mode = api.ModeDisaggregated
	}

	s := readStatus(obj.Object, d.Conditions)
	if d.Phase != api.PhaseTerminating {
		d.Phase, d.Message, d.Reasons = s.phase, s.message, s.reasons
	}
	d.Roles = roles(obj.Object, s)
	runtimes.Sum(&d)

	d.Endpoint = endpoint(obj.Object, d.Name)
	d.FrontendService = fmt.Sprintf("%s:%d", d.Endpoint.Service, d.Endpoint.Port)

	p := runtimes.Projection{Deployment: d, Claims: []string{serviceClaim(d.Name)}, CountPods: true}
	for _, cluster := range []string{s.active.name, s.pending.name} {
		if cluster != "" && (len(p.Claims) == 1 || p.Claims[1] != clusterClaim(cluster)) {
			p.Claims = append(p.Claims, clusterClaim(cluster))
		}
	}
	// During an upgrade a second cluster starts beside the one that serves; its pods are no replicas yet.
	if s.active.name != "" {
		p.Serving = clusterClaim(s.active.name)
	}
	return p
}

// PodClaims implements runtimes.Runtime.
func (r *Runtime) PodClaims(pod *corev1.Pod) []string {
	cluster := pod.Labels[labelCluster]
	service := ""
	if pod.Labels[labelFromKind] == r.info.Resource.Kind {
		service = pod.Labels[labelFromName]
	}
	switch {
	case cluster != "" && service != "":
		return []string{clusterClaim(cluster), serviceClaim(service)}
	case cluster != "":
		return []string{clusterClaim(cluster)}
	case service != "":
		return []string{serviceClaim(service)}
	}
	return nil
}

// PodRole implements runtimes.Runtime.
func (r *Runtime) PodRole(pod *corev1.Pod) string {
	switch kind := pod.Labels[labelNodeType]; kind {
	case "worker":
		return groupRole(pod.Labels[labelGroup])
	default:
		return kind // head, redis-cleanup
	}
}

func clusterClaim(cluster string) string { return ID + "/cluster/" + cluster }
func serviceClaim(service string) string { return ID + "/service/" + service }

// groupRole is the role that the workers of a group play. Ray leaves the name to the user; disaggregated deployments name
// their groups for what they do.
func groupRole(group string) string {
	group = strings.ToLower(group)
	switch {
	case strings.Contains(group, "prefill"):
		return runtimes.RolePrefill
	case strings.Contains(group, "decode"):
		return runtimes.RoleDecode
	}
	return runtimes.RoleWorker
}

// endpoint is the Service that KubeRay keeps pointed at the cluster that serves.
func endpoint(obj map[string]any, name string) *api.Endpoint {
	e := &api.Endpoint{Service: name + "-serve-svc", Port: servePort}
	if own := field.Text(obj, "spec", "serveService", "metadata", "name"); own != "" {
		e.Service = own
	}
	head := field.Maps(obj, "spec", "rayClusterConfig", "headGroupSpec", "template", "spec", "containers")
	if len(head) > 0 { // Ray's container is the first one
		for _, port := range field.Maps(head[0], "ports") {
			if n, ok := field.Int(port, "containerPort"); ok && n > 0 && field.Text(port, "name") == "serve" {
				e.Port = n
			}
		}
	}
	return e
}
