package tenancy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// world is what there is to see: the demo's deployments, and those of two namespaces more. One is that of the roles which
// have one, the other is nobody's of these.
type world struct {
	i           *installation
	own, other  string
	admin       client
	pods        *podLog
	known       []deployment // all that this test made, those included that are gone
	adminCaller *caller
}

// deployment is one that the API server has.
type deployment struct{ namespace, runtime, name, model string }

func (d deployment) id() string { return d.namespace + "/" + d.runtime + "/" + d.name }

// target is its path behind a prefix, with everything that says which one is meant.
func (d deployment) target(suffix string) string {
	return "/api/deployments/" + d.name + suffix + "?namespace=" + d.namespace + "&runtime=" + d.runtime
}

// client is access as one identity, without waiting.
type client struct {
	kube    kubernetes.Interface
	dynamic dynamic.Interface
}

func newClient(t *testing.T, config *rest.Config) client {
	t.Helper()
	config.QPS = -1
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	objects, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return client{kube, objects}
}

// resources are those of the runtimes, by id.
func resources() map[string]schema.GroupVersionResource {
	all := map[string]schema.GroupVersionResource{}
	for _, r := range registry.All() {
		resource := r.Info().Resource
		all[r.Info().ID] = schema.GroupVersionResource{Group: resource.Group, Version: served[r.Info().ID], Resource: resource.Plural}
	}
	return all
}

// served is the version in which this test speaks of each runtime.
var served = map[string]string{"kaito": "v1beta1", "kuberay": "v1", "dynamo": "v1alpha1"}

// populate makes the two namespaces and what is in them: each runtime once, and in both a Workspace of the same name.
func populate(t *testing.T, i *installation) *world {
	t.Helper()
	w := &world{i: i, own: devcluster.Namespace(t, i.cluster), other: devcluster.Namespace(t, i.cluster), admin: newClient(t, i.cluster.Config())}
	w.pods = followPods(t, w.admin.kube)
	for namespace, name := range map[string]string{w.own: "heron", w.other: "otter"} {
		for runtime := range resources() {
			w.create(t, deployment{namespace, runtime, name + "-" + runtime, "wildlife/" + name + "-model"})
		}
		w.create(t, deployment{namespace, "kaito", "twin", "wildlife/" + name + "-twin"})
	}
	return w
}

// create makes a deployment as its owner would with kubectl.
func (w *world) create(t *testing.T, d deployment) {
	t.Helper()
	container := func(name string, args ...any) map[string]any {
		return map[string]any{"name": name, "image": "registry.example/" + name + ":1", "args": args, "resources": map[string]any{"requests": map[string]any{"cpu": "10m"}}}
	}
	pod := func(c map[string]any) map[string]any { return map[string]any{"containers": []any{c}} }
	resource := resources()[d.runtime]
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": resource.GroupVersion().String()}}
	switch d.runtime {
	case "kaito":
		object.SetKind("Workspace")
		object.Object["resource"] = map[string]any{"count": int64(1), "labelSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/os": "linux"}}}
		object.Object["inference"] = map[string]any{"template": map[string]any{"spec": pod(container("model", "-m", "vllm.entrypoints.openai.api_server", "--model", d.model))}}
	case "kuberay":
		object.SetKind("RayService")
		object.Object["spec"] = map[string]any{
			"serveConfigV2": fmt.Sprintf("applications: [{name: llm, args: {llm_configs: [{model_loading_config: {model_id: %[1]s, model_source: %[1]s}}]}}]", d.model),
			"rayClusterConfig": map[string]any{
				"headGroupSpec": map[string]any{"rayStartParams": map[string]any{}, "template": map[string]any{"spec": pod(container("ray-head"))}},
				"workerGroupSpecs": []any{map[string]any{
					"groupName": "workers", "replicas": int64(1), "minReplicas": int64(1), "maxReplicas": int64(1), "rayStartParams": map[string]any{},
					"template": map[string]any{"spec": pod(container("ray-worker"))},
				}},
			},
		}
	case "dynamo":
		object.SetKind("DynamoGraphDeployment")
		service := func(kind string, args ...any) map[string]any {
			return map[string]any{"componentType": kind, "replicas": int64(1), "extraPodSpec": map[string]any{"mainContainer": map[string]any{"image": "registry.example/dynamo:1", "args": args}}}
		}
		object.Object["spec"] = map[string]any{"backendFramework": "vllm", "services": map[string]any{
			"Frontend": service("frontend"), "Worker": service("worker", "-m", "dynamo.vllm", "--model", d.model),
		}}
	}
	object.SetName(d.name)
	w.known = append(w.known, d)
	_, err := w.admin.dynamic.Resource(resource).Namespace(d.namespace).Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
}

// get is the object as the API server has it, nil where it has none.
func (w *world) get(t *testing.T, d deployment) *unstructured.Unstructured {
	t.Helper()
	object, err := w.admin.dynamic.Resource(resources()[d.runtime]).Namespace(d.namespace).Get(t.Context(), d.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(t, err)
	return object
}

// settle waits until every right holds, and the server shows everything that there is to somebody who may see it.
func (w *world) settle(t *testing.T, everybody map[string]*caller) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) { // the roles view and edit are put together by a controller
		for runtime, resource := range resources() {
			_, err := newClient(t, everybody["viewer"].who.Config()).dynamic.Resource(resource).Namespace(w.own).List(t.Context(), metav1.ListOptions{})
			require.NoError(c, err)
			require.True(c, w.mayDelete(t, everybody["editor"].who, deployment{w.own, runtime, "heron-" + runtime, ""}))
		}
	}, patience, 50*time.Millisecond)
	admin := everybody["admin"]
	w.adminCaller = admin
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		sees := w.look(t, admin.who)
		shown := read[api.DeploymentList](t, admin.by(direct).get(t, "/api/deployments"))
		require.ElementsMatch(c, slices.Collect(maps.Keys(sees.deployments)), ids(shown.Deployments))
		podless := 0
		for _, d := range shown.Deployments {
			if d.Namespace == w.own || d.Namespace == w.other {
				require.NotEmpty(c, d.Pods, d.Id)
			}
			for _, p := range d.Pods {
				if p.Node == "" {
					podless++
				}
			}
		}
		require.Zero(c, podless, "pods without a node")
	}, patience, 200*time.Millisecond)
}

// sees is what somebody may see with kubectl.
type sees struct {
	deployments map[string]deployment // by id
	pods        map[string]bool       // namespaces whose pods they may list
	nodes       map[string]bool       // nil: they may not be listed
	autoscaler  bool
	metrics     bool
	everywhere  map[string]bool // resources that they may list in all namespaces
	text        []string        // everything that they may list, as text
}

// look asks the API server, as somebody, for everything.
func (w *world) look(t *testing.T, who *devcluster.Identity) *sees {
	t.Helper()
	ctx, c := t.Context(), newClient(t, who.Config())
	s := &sees{deployments: map[string]deployment{}, pods: map[string]bool{}, everywhere: map[string]bool{}}
	may := func(what any, err error) bool {
		t.Helper()
		if apierrors.IsForbidden(err) {
			return false
		}
		require.NoError(t, err)
		text, err := json.Marshal(what)
		require.NoError(t, err)
		s.text = append(s.text, string(text))
		return true
	}
	namespaces, err := w.admin.kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	mine, err := c.kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	may(mine, err)
	podList, err := c.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	s.everywhere["pods"] = may(podList, err)
	for runtime, resource := range resources() {
		objects, err := c.dynamic.Resource(resource).List(ctx, metav1.ListOptions{})
		s.everywhere[runtime] = may(objects, err)
	}
	for _, namespace := range namespaces.Items {
		podList, err := c.kube.CoreV1().Pods(namespace.Name).List(ctx, metav1.ListOptions{})
		if may(podList, err) {
			s.pods[namespace.Name] = true
		}
		for runtime, resource := range resources() {
			objects, err := c.dynamic.Resource(resource).Namespace(namespace.Name).List(ctx, metav1.ListOptions{})
			if may(objects, err) && s.pods[namespace.Name] {
				for _, object := range objects.Items {
					d := deployment{namespace.Name, runtime, object.GetName(), ""}
					s.deployments[d.id()] = d
				}
			}
		}
	}
	nodeList, err := c.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if may(nodeList, err) {
		s.nodes = map[string]bool{}
		for _, node := range nodeList.Items {
			s.nodes[node.Name] = true
		}
	}
	status, err := c.kube.CoreV1().ConfigMaps("kube-system").Get(ctx, "cluster-autoscaler-status", metav1.GetOptions{})
	s.autoscaler = apierrors.IsNotFound(err) || may(status, err)
	_, err = c.kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	s.metrics = may("metrics", err)
	return s
}

// add takes in what was seen later.
func (s *sees) add(later *sees) {
	maps.Copy(s.deployments, later.deployments)
	s.text = append(s.text, later.text...)
}

// same tells whether two see the same documents.
func (s *sees) same(o *sees) bool {
	return maps.Equal(s.deployments, o.deployments) && maps.Equal(s.pods, o.pods) && (s.nodes == nil) == (o.nodes == nil) && s.autoscaler == o.autoscaler
}

// all are the deployments that there are, in a fixed order.
func (w *world) all(t *testing.T) []deployment {
	t.Helper()
	var all []deployment
	for runtime, resource := range resources() {
		objects, err := w.admin.dynamic.Resource(resource).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, object := range objects.Items {
			all = append(all, deployment{object.GetNamespace(), runtime, object.GetName(), ""})
		}
	}
	slices.SortFunc(all, func(a, b deployment) int { return strings.Compare(a.id(), b.id()) })
	return all
}

// ours are those of the two namespaces that this test made.
func (w *world) ours(t *testing.T) []deployment {
	return slices.DeleteFunc(w.all(t), func(d deployment) bool { return d.namespace != w.own && d.namespace != w.other })
}

// mayDelete asks the API server whether somebody may delete something, without doing it.
func (w *world) mayDelete(t *testing.T, who *devcluster.Identity, d deployment) bool {
	t.Helper()
	err := newClient(t, who.Config()).dynamic.Resource(resources()[d.runtime]).Namespace(d.namespace).
		Delete(t.Context(), d.name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	require.True(t, err == nil || apierrors.IsForbidden(err), "%v", err)
	return err == nil
}

// podLog keeps the name of every pod that there ever was, and of its node: both may come and go between two looks.
type podLog struct {
	mu   sync.Mutex
	seen map[string]map[string]bool // by namespace
}

func followPods(t *testing.T, kube kubernetes.Interface) *podLog {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &podLog{seen: map[string]map[string]bool{}}
	events, err := kube.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{ResourceVersion: "0"})
	require.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() {
		for event := range events.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok {
				l.mu.Lock()
				if l.seen[pod.Namespace] == nil {
					l.seen[pod.Namespace] = map[string]bool{}
				}
				l.seen[pod.Namespace][pod.Name] = true
				l.seen[pod.Namespace][pod.Spec.NodeName] = true
				l.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		stop()
		done.Wait()
	})
	return l
}

// names are those of pods and their nodes, in each namespace.
func (l *podLog) names() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[string][]string{}
	for namespace, seen := range l.seen {
		names[namespace] = slices.Collect(maps.Keys(seen))
	}
	return names
}

func ids(deployments []api.Deployment) []string {
	all := make([]string, 0, len(deployments))
	for _, d := range deployments {
		all = append(all, d.Id)
	}
	return all
}
