package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// kind is a runtime's custom resource, as the test writes it.
type kind struct {
	runtime, claim string
	resource       schema.GroupVersionResource
	crd            string
	manifest       string
}

// kinds are the three runtimes' resources.
func kinds() []kind {
	return []kind{
		{
			"kaito", "kaito.sh/workspace",
			schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"},
			"workspaces.kaito.sh",
			`{"apiVersion":"kaito.sh/v1beta1","kind":"Workspace","resource":{"count":1,"labelSelector":{"matchLabels":{"a":"b"}}},"inference":{"preset":{"name":"phi-4"}}}`,
		},
		{
			"dynamo", "nvidia.com/dynamo-graph-deployment-name",
			schema.GroupVersionResource{Group: "nvidia.com", Version: "v1alpha1", Resource: "dynamographdeployments"},
			"dynamographdeployments.nvidia.com",
			`{"apiVersion":"nvidia.com/v1alpha1","kind":"DynamoGraphDeployment","spec":{"backendFramework":"vllm","services":{"VllmWorker":{"componentType":"worker","replicas":1}}}}`,
		},
		{
			"kuberay", "",
			schema.GroupVersionResource{Group: "ray.io", Version: "v1", Resource: "rayservices"},
			"rayservices.ray.io",
			`{"apiVersion":"ray.io/v1","kind":"RayService","spec":{"serveConfigV2":"applications: []","rayClusterConfig":{"headGroupSpec":{"rayStartParams":{},"template":{"spec":{"containers":[{"name":"ray-head","image":"ray"}]}}}}}}`,
		},
	}
}

// cluster writes to the API server at random and reads the truth back.
type cluster struct {
	*devcluster.Cluster
	dynamic dynamic.Interface
	kube    kubernetes.Interface
}

func newCluster(t *testing.T, started *devcluster.Cluster) *cluster {
	config := started.Config()
	config.QPS = -1
	d, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	k, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	c := &cluster{started, d, k}
	for _, kind := range kinds() {
		require.NoError(t, c.Define(t.Context(), kind.crd))
	}
	for i := range namespaces {
		_, err := k.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}}, metav1.CreateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, err := k.CoreV1().ServiceAccounts(namespace(i)).Get(t.Context(), "default", metav1.GetOptions{})
			return err == nil
		}, time.Minute, 50*time.Millisecond, "the namespace gets no ServiceAccount")
	}
	return c
}

const namespaces = 3

func namespace(i int) string { return fmt.Sprint("chaos-", i) }

// revoke deletes a CustomResourceDefinition, and every object of it.
func (c *cluster) revoke(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, c.dynamic.Resource(devcluster.Definitions()).Delete(t.Context(), name, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		_, err := c.dynamic.Resource(devcluster.Definitions()).Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, time.Minute, 50*time.Millisecond, "%s does not go away", name)
}

// write makes one random change. Its error is of no interest: the API server may be down, the object there or not.
func (c *cluster) write(ctx context.Context, chance *rand.Rand, number int) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ns, name := namespace(chance.IntN(namespaces)), fmt.Sprint("d", chance.IntN(12))
	k := kinds()[chance.IntN(3)]
	objects := c.dynamic.Resource(k.resource).Namespace(ns)
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	switch chance.IntN(10) {
	case 0, 1:
		var o unstructured.Unstructured
		_ = json.Unmarshal([]byte(k.manifest), &o.Object)
		o.SetName(name)
		_, _ = objects.Create(ctx, &o, metav1.CreateOptions{})
	case 2:
		_ = objects.Delete(ctx, name, metav1.DeleteOptions{})
	case 3:
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-pod", Labels: map[string]string{kinds()[0].claim: name, kinds()[1].claim: name}},
			Spec:       corev1.PodSpec{SchedulerName: "nobody", Containers: []corev1.Container{{Name: "model", Image: "model"}}},
		}
		if chance.IntN(2) == 0 {
			delete(pod.Labels, kinds()[chance.IntN(2)].claim)
		}
		_, _ = c.kube.CoreV1().Pods(ns).Create(ctx, pod, metav1.CreateOptions{})
	case 4:
		_ = c.kube.CoreV1().Pods(ns).Delete(ctx, name+"-pod", now)
	case 5:
		patch := fmt.Sprintf(`{"status":{"phase":%q,"message":"pod %d"}}`, []string{"Pending", "Running", "Failed"}[chance.IntN(3)], number)
		_, _ = c.kube.CoreV1().Pods(ns).Patch(ctx, name+"-pod", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	case 6:
		patch := fmt.Sprintf(`{"status":{"allocatable":{"nvidia.com/gpu":"%d"},"capacity":{"nvidia.com/gpu":"%d"}}}`, number%9, number%9)
		_, _ = c.kube.CoreV1().Nodes().Patch(ctx, fmt.Sprint("node-", chance.IntN(4)), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	default:
		patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Chaos","status":"True","reason":"Written","message":"change %d","lastTransitionTime":"2026-01-02T03:04:05Z"}]}}`, number)
		_, _ = objects.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	}
}

// truth is what every client has to hold in the end: for each document, the mark of its last change.
func (c *cluster) truth(ctx context.Context) (map[api.Key]string, error) {
	marks := map[api.Key]string{}
	for _, k := range kinds() {
		list, err := c.dynamic.Resource(k.resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, o := range list.Items {
			conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
			mark := ""
			if len(conditions) > 0 {
				condition, _ := conditions[0].(map[string]any)
				mark, _ = condition["message"].(string)
			}
			marks[api.DeploymentKey(o.GetNamespace(), k.runtime, o.GetName())] = mark
		}
	}
	pods, err := c.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, pod := range pods.Items {
		for _, k := range kinds() {
			name, claimed := pod.Labels[k.claim]
			if _, exists := marks[api.DeploymentKey(pod.Namespace, k.runtime, name)]; claimed && exists {
				marks[api.PodKey(pod.Namespace, pod.Name)] = string(pod.Status.Phase)
			}
		}
	}
	nodes, err := c.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, node := range nodes.Items {
		gpus := node.Status.Allocatable["nvidia.com/gpu"]
		marks[api.NodeKey(node.Name)] = gpus.String()
	}
	return marks, nil
}

// mark reads the same from a document.
func mark(k api.Kind, document []byte) string {
	var d struct {
		Conditions []struct{ Message string }
		Phase      string
		GPUCount   int `json:"gpuCount"`
	}
	_ = json.Unmarshal(document, &d)
	switch k {
	case api.KindDeployments:
		if len(d.Conditions) > 0 {
			return d.Conditions[0].Message
		}
		return ""
	case api.KindPods:
		return d.Phase
	case api.KindNodes:
		return fmt.Sprint(d.GPUCount)
	}
	return ""
}
