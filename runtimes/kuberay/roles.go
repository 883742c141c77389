package kuberay

import (
	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// roles lists the cluster's groups by what they do. Where no pod is known the operator's count stands for a single group.
func roles(obj map[string]any, s status) []api.Role {
	cluster := field.Map(obj, "spec", "rayClusterConfig")
	list := []api.Role{}
	for _, group := range field.Maps(cluster, "workerGroupSpecs") {
		list = runtimes.AddRole(list, api.Role{
			Name:           groupRole(field.Text(group, "groupName")),
			Desired:        groupReplicas(group),
			GpusPerReplica: runtimes.TemplateGPUs(field.Map(group, "template", "spec")),
		})
	}
	if len(list) == 1 {
		// The operator follows Ray's autoscaler, which changes the RayCluster and not the RayService.
		if s.active.desired > 0 {
			list[0].Desired = s.active.desired
		}
		list[0].Ready = min(s.active.ready, list[0].Desired)
	}
	list = append(list, head(cluster, s, len(list) == 0))
	if field.Bool(obj, "spec", "suspend") {
		for i := range list {
			list[i].Desired, list[i].Ready = 0, 0
		}
	}
	runtimes.SortRoles(list)
	return list
}

// head is the head pod. Where there are no workers it holds the models itself.
func head(cluster map[string]any, s status, alone bool) api.Role {
	role := api.Role{
		Name:           runtimes.RoleHead,
		Desired:        1,
		GpusPerReplica: runtimes.TemplateGPUs(field.Map(cluster, "headGroupSpec", "template", "spec")),
	}
	if alone && s.phase == api.PhaseRunning {
		role.Ready = 1
	}
	return role
}

// groupReplicas is how many pods KubeRay runs of a group: replicas within its limits, times the hosts of one replica.
func groupReplicas(group map[string]any) int {
	if field.Bool(group, "suspend") {
		return 0
	}
	low, _ := field.Int(group, "minReplicas")
	n, ok := field.Int(group, "replicas")
	if !ok || n < low {
		n = low
	}
	if high, ok := field.Int(group, "maxReplicas"); ok {
		n = min(n, high)
	}
	if hosts, ok := field.Int(group, "numOfHosts"); ok && hosts > 1 {
		n = min(n*hosts, field.Max)
	}
	return n
}
