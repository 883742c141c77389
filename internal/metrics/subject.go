package metrics

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/kubefoundry/kubefoundry/api"
)

// Target is a server that is asked.
type Target struct {
	Namespace string
	// Resource is services or pods, Name the object's.
	Resource, Name string
	Port           int
}

// Right names the target as the Kubernetes API does in a review of rights: the proxy's own name for it.
func (t Target) Right() string { return "http:" + t.Name + ":" + strconv.Itoa(t.Port) }

// path is where the Kubernetes API passes a request on.
func (t Target) path() string {
	return fmt.Sprintf("/api/v1/namespaces/%s/%s/%s/proxy/metrics", t.Namespace, t.Resource, t.Right())
}

// Subject is what is asked for a deployment.
type Subject struct {
	// Key is the same for subjects that share what is collected.
	Key     string
	Targets []Target
	// Partial says what is not asked, and why.
	Partial string
	// GaugesOnly says that another server may answer each time.
	GaugesOnly bool
}

// Ports on which metrics are served, where it is not the deployment's endpoint.
const (
	rayPort    = 8080 // of Ray's own exporter, on each node
	dynamoPort = 9090 // of the system server of Dynamo's workers
	kaitoPort  = 5000 // in a pod of KAITO's, whose own Service listens on 80
)

// maxPods is how many pods of a deployment are asked.
const maxPods = 64

// Entrance is the Service of a deployment that has metrics, which whoever wants to see them has to have the right to; false
// where there is none yet.
func Entrance(d *api.Deployment) (Target, bool) {
	if d.Endpoint == nil || d.Endpoint.Service == "" {
		return Target{}, false
	}
	t := Target{Namespace: d.Namespace, Resource: "services", Name: d.Endpoint.Service, Port: d.Endpoint.Port}
	if d.Provider == "kuberay" { // requests go to the Serve Service, which has no metrics
		t.Name, t.Port = d.Name+"-head-svc", rayPort
	}
	return t, true
}

// Plan is what to ask for a deployment that has an Entrance, and pods. With the right to the pods' proxy each pod is asked where that tells more.
func Plan(d *api.Deployment, pods []api.Pod, mayPods bool) Subject {
	entrance, _ := Entrance(d)
	s := Subject{Key: d.Id + "/" + d.Resource.Uid + "/service", Targets: []Target{entrance}}
	ready := slices.DeleteFunc(slices.Clone(pods), func(p api.Pod) bool { return !p.Ready })
	slices.SortFunc(ready, func(a, b api.Pod) int { return cmp.Compare(a.Name, b.Name) })
	front, behind := parts(d, ready)
	if mayPods {
		s.Key = d.Id + "/" + d.Resource.Uid + "/pods"
		if len(front) > 1 {
			s.Targets = nil
		} else {
			front = nil
		}
		all := append(front, behind...)
		if len(all) > maxPods {
			s.Partial = fmt.Sprintf("Only %d of %d pods are asked", maxPods, len(all))
			all = all[:maxPods]
		}
		s.Targets = append(s.Targets, all...)
		return s
	}
	missing := ""
	switch {
	case len(front) > 1 && d.Provider == "kuberay":
		missing = fmt.Sprintf("Only the head is asked, not the other %d Ray nodes", len(front)-1)
	case len(front) > 1:
		s.GaugesOnly = true
		missing = fmt.Sprintf("One of %d pods answers, another one each time, so that there are no rates", len(front))
	case len(behind) > 0:
		missing = fmt.Sprintf("Only the frontend is asked, not the %d workers", len(behind))
	}
	if missing != "" {
		s.Partial = missing + ": for that you need the right to get pods/proxy in the namespace " + d.Namespace
	}
	return s
}

// parts are the pods behind the entrance, and those behind these.
func parts(d *api.Deployment, pods []api.Pod) (front, behind []Target) {
	for _, p := range pods {
		t := Target{Namespace: p.Namespace, Resource: "pods", Name: p.Name}
		switch {
		case d.Provider == "kuberay":
			t.Port = rayPort
		case d.Provider == "dynamo" && p.Role != "frontend":
			t.Port = dynamoPort
			behind = append(behind, t)
			continue
		case d.Endpoint != nil && d.Endpoint.Port != 80:
			t.Port = d.Endpoint.Port
		default:
			t.Port = kaitoPort
		}
		front = append(front, t)
	}
	return front, behind
}
