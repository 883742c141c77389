package standin

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := object.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	return object
}

// Pods in the states that the simulated nodes bring them to.
func podIn(state string, labels map[string]string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod-" + state, UID: types.UID(state), Labels: labels, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{NodeName: "node-1"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	waiting := func(reason string, restarts int32) {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "main", RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"}},
		}}
	}
	switch state {
	case "ready":
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	case "slow":
	case "crashloop":
		waiting("CrashLoopBackOff", 4)
	case "imagepull":
		pod.Status.Phase = corev1.PodPending
		waiting("ImagePullBackOff", 0)
	case "unschedulable":
		pod.Spec.NodeName, pod.Status.Phase = "", corev1.PodPending
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
		}}
	case "leaving":
		now := metav1.NewTime(noon)
		pod.DeletionTimestamp = &now
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return pod
}

func podsIn(labels map[string]string, states ...string) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, state := range states {
		pods = append(pods, podIn(state, labels))
	}
	return pods
}

func conditionsOf(status map[string]any) map[string]string {
	found := map[string]string{}
	for _, item := range status["conditions"].([]any) {
		c := item.(map[string]any)
		found[c["type"].(string)] = c["status"].(string) + " " + c["reason"].(string)
	}
	return found
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

const workspaceText = `
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: w, namespace: ml, generation: 3}
resource: {count: 2, labelSelector: {matchLabels: {a: b}}}
inference: {preset: {name: phi}}
`

func TestWorkspaceStatus(t *testing.T) {
	for _, test := range []struct {
		name      string
		before    string
		enough    bool
		pods      []string
		state     string
		inference string
		resource  string
	}{
		{"no nodes", "", false, nil, "Pending", "False WorkspaceInferenceStatusPending", "False NodeNotReady"},
		{"no pods yet", "", true, nil, "Pending", "False WorkspaceInferenceStatusPending", "True workspaceResourceStatusSuccess"},
		{"one of two", "Pending", true, []string{"ready", "slow"}, "Pending", "False WorkspaceInferenceStatusPending", "True workspaceResourceStatusSuccess"},
		{"all", "Pending", true, []string{"ready", "ready"}, "Ready", "True WorkspaceInferenceStatusSuccess", "True workspaceResourceStatusSuccess"},
		{"one lost", "Ready", true, []string{"ready", "crashloop"}, "NotReady", "False WorkspaceInferenceStatusPending", "True workspaceResourceStatusSuccess"},
		{"back", "NotReady", true, []string{"ready", "ready"}, "Ready", "True WorkspaceInferenceStatusSuccess", "True workspaceResourceStatusSuccess"},
		{"a crash loop from the start says nothing", "Pending", true, []string{"crashloop", "crashloop"}, "Pending", "False WorkspaceInferenceStatusPending", "True workspaceResourceStatusSuccess"},
		{"leaving pods do not count", "Ready", true, []string{"ready", "leaving"}, "NotReady", "False WorkspaceInferenceStatusPending", "True workspaceResourceStatusSuccess"},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, workspaceText)
			if test.before != "" {
				object.Object["status"] = map[string]any{"state": test.before}
			}
			spec := workspace{}
			if err := decode(object.Object, &spec); err != nil {
				t.Fatal(err)
			}
			pods := podsIn(nil, test.pods...)
			status := workspaceStatus(object, spec, test.enough, count(2, "", pods), pods, noon)
			expect(t, "state", status["state"], test.state)
			conditions := conditionsOf(status)
			expect(t, "InferenceReady", conditions["InferenceReady"], test.inference)
			expect(t, "ResourceReady", conditions["ResourceReady"], test.resource)
			expect(t, "targetNodeCount", status["targetNodeCount"], int64(2))
		})
	}
}

func TestGraphStatus(t *testing.T) {
	object := parse(t, `
apiVersion: nvidia.com/v1alpha1
kind: DynamoGraphDeployment
metadata: {name: g, namespace: ml, generation: 1}
spec:
  services:
    Frontend: {componentType: frontend}
    Worker: {componentType: worker, replicas: 2, resources: {limits: {gpu: "4"}}}
  components:
  - {name: decode, type: decode, podTemplate: {spec: {containers: [{name: main, image: x}]}}}
`)
	g := graph{}
	if err := decode(object.Object["spec"], &g); err != nil {
		t.Fatal(err)
	}
	parts := g.parts(object)
	gpus := parts[1].template.Spec.Containers[0].Resources.Limits[gpuResource]
	expect(t, "GPUs of a worker", gpus.Value(), int64(4))

	of := func(name string, states ...string) []*corev1.Pod {
		pods := podsIn(map[string]string{labelComponent: name}, states...)
		for _, p := range parts {
			for _, pod := range pods {
				if p.name == name {
					pod.Annotations[hashAnnotation] = p.template.hash
				}
			}
		}
		return pods
	}
	for _, test := range []struct {
		name    string
		workers []string
		state   string
		reason  string
		ready   int64
	}{
		{"all", []string{"ready", "ready"}, "successful", "True all_resources_are_ready", 2},
		{"one", []string{"ready", "unschedulable"}, "pending", "False some_resources_are_not_ready", 1},
		{"crash loop", []string{"crashloop", "crashloop"}, "pending", "False some_resources_are_not_ready", 0},
		{"too many", []string{"ready", "ready", "ready"}, "pending", "False some_resources_are_not_ready", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			pods := append(append(of("Frontend", "ready"), of("decode", "ready")...), of("Worker", test.workers...)...)
			status := graphStatus(object, parts, pods, noon)
			expect(t, "state", status["state"], test.state)
			expect(t, "Ready", conditionsOf(status)["Ready"], test.reason)
			worker := status["services"].(map[string]any)["Worker"].(map[string]any)
			expect(t, "readyReplicas", worker["readyReplicas"], test.ready)
			if _, ok := status["components"].(map[string]any)["decode"]; !ok {
				t.Error("a component of v1beta1 is not reported as one")
			}
		})
	}
}

const serviceText = `
apiVersion: ray.io/v1
kind: RayService
metadata: {name: s, namespace: ml, generation: 1}
spec:
  serveConfigV2: |
    applications:
    - {name: app, import_path: "ray.serve.llm:build_openai_app"}
`

const clusterText = `
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: %, namespace: ml, generation: 1}
spec:
  headGroupSpec: {template: {spec: {containers: [{name: head, resources: {requests: {cpu: 4}}}]}}}
  workerGroupSpecs:
  - {groupName: gpu, replicas: 2, minReplicas: 1, maxReplicas: 3, template: {spec: {containers: [{name: w, resources: {limits: {nvidia.com/gpu: 2}}}]}}}
`

func clusterIn(t *testing.T, name string, head string, workers ...string) clusterView {
	t.Helper()
	view := clusterView{object: parse(t, replace(clusterText, name))}
	if err := decode(view.object.Object["spec"], &view.spec); err != nil {
		t.Fatal(err)
	}
	if head != "" {
		view.pods = podsIn(map[string]string{labelRayNodeType: "head", labelRayGroup: headGroup}, head)
	}
	view.pods = append(view.pods, podsIn(map[string]string{labelRayNodeType: "worker", labelRayGroup: "gpu"}, workers...)...)
	return view
}

func replace(text, name string) string {
	for i := range text {
		if text[i] == '%' {
			return text[:i] + name + text[i+1:]
		}
	}
	return text
}

func TestRayServiceStatus(t *testing.T) {
	for _, test := range []struct {
		name     string
		active   string // of the status before
		goal     string
		clusters []clusterView
		want     string // active then
		pending  string
		service  any
		ready    string
		upgrade  string
		app      string // of the goal
	}{
		{"new", "", "a", nil, "", "a", nil, "False Initializing", "False Initializing", ""},
		{"head starts", "", "a", []clusterView{clusterIn(t, "a", "slow", "slow")}, "", "a", nil, "False Initializing", "False Initializing", ""},
		{"workers wait for GPUs", "", "a", []clusterView{clusterIn(t, "a", "ready", "unschedulable", "unschedulable")}, "", "a", nil, "False Initializing", "False Initializing", "DEPLOYING"},
		{"workers crash", "", "a", []clusterView{clusterIn(t, "a", "ready", "crashloop", "crashloop")}, "", "a", nil, "False Initializing", "False Initializing", "DEPLOY_FAILED"},
		{"the least is enough", "", "a", []clusterView{clusterIn(t, "a", "ready", "ready", "slow")}, "a", "", "Running", "True NonZeroServeEndpoints", "False NoPendingCluster", "RUNNING"},
		{"an upgrade begins", "a", "b", []clusterView{clusterIn(t, "a", "ready", "ready", "ready"), clusterIn(t, "b", "ready", "slow")}, "a", "b", "Running", "True NonZeroServeEndpoints", "True BothActivePendingClustersExist", "DEPLOYING"},
		{"and ends", "a", "b", []clusterView{clusterIn(t, "a", "ready", "ready", "ready"), clusterIn(t, "b", "ready", "ready", "ready")}, "b", "", "Running", "True NonZeroServeEndpoints", "False NoPendingCluster", "RUNNING"},
		{"all workers lost", "a", "a", []clusterView{clusterIn(t, "a", "ready", "crashloop", "crashloop")}, "a", "", nil, "False Initializing", "False NoPendingCluster", "UNHEALTHY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := parse(t, serviceText)
			if test.active != "" {
				object.Object["status"] = map[string]any{"activeServiceStatus": map[string]any{"rayClusterName": test.active}}
			}
			view := serviceView{object: object, goal: test.goal, config: serveConfig(object), clusters: test.clusters}
			status, active := view.status(noon)
			expect(t, "active cluster", active, test.want)
			pending, _, _ := unstructured.NestedString(status, "pendingServiceStatus", "rayClusterName")
			expect(t, "pending cluster", pending, test.pending)
			expect(t, "serviceStatus", status["serviceStatus"], test.service)
			expect(t, "Ready", conditionsOf(status)["Ready"], test.ready)
			expect(t, "UpgradeInProgress", conditionsOf(status)["UpgradeInProgress"], test.upgrade)
			of := "activeServiceStatus"
			if test.pending != "" {
				of = "pendingServiceStatus"
			}
			app, _, _ := unstructured.NestedString(status, of, "applicationStatuses", "app", "status")
			expect(t, "application", app, test.app)
		})
	}
}

func TestRayClusterStatus(t *testing.T) {
	view := clusterIn(t, "a", "ready", "ready", "slow")
	status := rayClusterStatus(view.object, view.spec, view.pods, noon)
	expect(t, "desired", status["desiredWorkerReplicas"], int64(2))
	expect(t, "available", status["availableWorkerReplicas"], int64(2))
	expect(t, "ready", status["readyWorkerReplicas"], int64(1))
	expect(t, "GPUs", status["desiredGPU"], "4")
	expect(t, "state", status["state"], nil)
	expect(t, "provisioned", conditionsOf(status)["RayClusterProvisioned"], "False RayClusterPodsProvisioning")

	view.object.Object["status"] = status
	view = clusterView{object: view.object, spec: view.spec, pods: clusterIn(t, "a", "ready", "ready", "ready").pods}
	status = rayClusterStatus(view.object, view.spec, view.pods, noon.Add(time.Minute))
	expect(t, "state", status["state"], "ready")

	// What was provisioned once stays so.
	view.object.Object["status"] = status
	status = rayClusterStatus(view.object, view.spec, nil, noon.Add(time.Hour))
	expect(t, "provisioned", conditionsOf(status)["RayClusterProvisioned"], "True AllPodRunningAndReadyFirstTime")
	expect(t, "head", conditionsOf(status)["HeadPodReady"], "False HeadPodNotFound")
}

// A status that stands still must not be written again.
func TestStatusIsStable(t *testing.T) {
	view := clusterIn(t, "a", "ready", "ready", "ready")
	view.object.Object["status"] = rayClusterStatus(view.object, view.spec, view.pods, noon)
	if diff := difference(statusOf(view.object), rayClusterStatus(view.object, view.spec, view.pods, noon.Add(time.Hour))); len(diff) > 0 {
		t.Errorf("cluster: an hour later %v differs", diff)
	}
	object := parse(t, serviceText)
	services := serviceView{object: object, goal: "a", config: serveConfig(object), clusters: []clusterView{view}}
	status, _ := services.status(noon)
	object.Object["status"] = status
	again, _ := services.status(noon.Add(time.Hour))
	if diff := difference(status, again); len(diff) > 0 {
		t.Errorf("service: an hour later %v differs", diff)
	}
}
