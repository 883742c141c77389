package standin

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// rayClusterStatus is what the operator says of a cluster. It is ready once all
// pods are, and RayClusterProvisioned stays true from that moment on.
func rayClusterStatus(object *unstructured.Unstructured, spec rayClusterSpec, pods []*corev1.Pod, now time.Time) map[string]any {
	status := statusOf(object)
	desired, least, most := 0, 0, 0
	total := corev1.ResourceList{}
	addRequests(total, spec.Head.Template.Spec, 1)
	for _, group := range spec.Groups {
		desired += group.pods()
		least += group.least() * max(group.Hosts, 1)
		if group.Max != nil {
			most += *group.Max * max(group.Hosts, 1)
		}
		addRequests(total, group.Template.Spec, group.pods())
	}
	workers := count(desired, "", withLabel(pods, labelRayNodeType, "worker"))
	heads := withLabel(notLeaving(pods), labelRayNodeType, "head")
	head := count(1, "", heads)
	generation := object.GetGeneration()

	status["desiredWorkerReplicas"] = int64(desired)
	status["minWorkerReplicas"] = int64(least)
	status["maxWorkerReplicas"] = int64(most)
	// Available is a running pod, ready or not; zero is left out, as in Go's JSON.
	number(status, "availableWorkerReplicas", workers.running)
	number(status, "readyWorkerReplicas", workers.ready)
	status["desiredCPU"] = quantity(total, corev1.ResourceCPU)
	status["desiredMemory"] = quantity(total, corev1.ResourceMemory)
	status["desiredGPU"] = quantity(total, gpuResource)
	status["desiredTPU"] = "0"
	status["observedGeneration"] = generation
	status["endpoints"] = map[string]any{"client": "10001", "dashboard": "8265", "gcs-server": "6379", "metrics": "8080", "serve": "8000"}
	info := map[string]any{"serviceName": object.GetName() + "-head-svc"}
	if len(heads) > 0 {
		info["podName"] = heads[0].Name
		if ip := heads[0].Status.PodIP; ip != "" {
			info["podIP"], info["serviceIP"] = ip, ip // the Service of a head is headless
		}
	}
	status["head"] = info

	set := []condition{headCondition(head, len(heads))}
	provisioned, _, _ := findCondition(status, "RayClusterProvisioned")
	if head.allReady() && workers.allReady() {
		if status["state"] != "ready" {
			times, _ := status["stateTransitionTimes"].(map[string]any)
			if times == nil {
				times = map[string]any{}
			}
			times["ready"] = stamp(now)
			status["stateTransitionTimes"] = times
		}
		status["state"] = "ready"
		if provisioned.status != "True" {
			set = append(set, condition{"RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime", "All pods have been ready"})
		}
	} else if provisioned.status != "True" {
		set = append(set, condition{"RayClusterProvisioned", "False", "RayClusterPodsProvisioning", "Not all pods have been ready yet"})
	}
	before := statusOf(object)
	setConditions(status, generation, now, set...)
	if len(difference(before, status)) > 0 {
		status["lastUpdateTime"] = stamp(now)
	}
	return status
}

func headCondition(head tally, pods int) condition {
	switch {
	case pods == 0:
		return condition{"HeadPodReady", "False", "HeadPodNotFound", "There is no head pod"}
	case head.allReady():
		return condition{"HeadPodReady", "True", "HeadPodRunningAndReady", "The head pod is ready"}
	case head.fault != nil:
		return condition{"HeadPodReady", "False", head.fault.reason, head.fault.message}
	default:
		return condition{"HeadPodReady", "False", "ContainersNotReady", "The head pod's container is not ready"}
	}
}

// number sets a count, or leaves it out if it is zero.
func number(status map[string]any, key string, n int) {
	if n == 0 {
		delete(status, key)
		return
	}
	status[key] = int64(n)
}

func addRequests(total corev1.ResourceList, spec corev1.PodSpec, times int) {
	for _, c := range spec.Containers {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, gpuResource} {
			amount, ok := c.Resources.Requests[name]
			if !ok {
				amount, ok = c.Resources.Limits[name]
			}
			if !ok {
				continue
			}
			sum := total[name]
			for range times {
				sum.Add(amount)
			}
			total[name] = sum
		}
	}
}

func quantity(list corev1.ResourceList, name corev1.ResourceName) string {
	q, ok := list[name]
	if !ok {
		q = resource.Quantity{}
	}
	return q.String()
}

func sortedPorts(ports map[string]int32) []corev1.ServicePort {
	list := make([]corev1.ServicePort, 0, len(ports))
	for name, number := range ports {
		list = append(list, corev1.ServicePort{
			Name: name, Protocol: corev1.ProtocolTCP, Port: number, TargetPort: intstr.FromInt32(number),
		})
	}
	slices.SortFunc(list, func(a, b corev1.ServicePort) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
