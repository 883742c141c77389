package watch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/dynamo"
	"github.com/kubefoundry/kubefoundry/runtimes/kaito"
	"github.com/kubefoundry/kubefoundry/runtimes/kuberay"
)

// shared is one control plane for all tests of the package.
var shared = devcluster.Shared{Options: devcluster.Options{
	GPUNodes: -1, CPUNodes: -1, Components: []string{devcluster.ControllerManager},
}}

type cluster struct {
	*devcluster.Cluster
	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
}

func needCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Cluster: shared.Cluster(t)}
	c.config = c.Config()
	c.config.QPS = -1
	var err error
	c.kube, err = kubernetes.NewForConfig(c.config)
	require.NoError(t, err)
	c.dynamic, err = dynamic.NewForConfig(c.config)
	require.NoError(t, err)
	for _, name := range []string{"workspaces.kaito.sh", "rayservices.ray.io", "dynamographdeployments.nvidia.com"} {
		require.NoError(t, c.Define(t.Context(), name))
	}
	return c
}

var workspaces = schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"}

// namespace makes a namespace for one test.
func (c *cluster) namespace(t *testing.T) string {
	t.Helper()
	return devcluster.Namespace(t, c.Cluster)
}

func allRuntimes() []runtimes.Runtime {
	return []runtimes.Runtime{dynamo.New(), kuberay.New(), kaito.New()}
}

// watcher runs a Watcher until the test ends or the returned function is called, which waits for its end.
func (c *cluster) watcher(t *testing.T, change func(*Options)) (*recorder, func()) {
	t.Helper()
	r := newRecorder()
	options := Options{Config: c.config, Runtimes: allRuntimes(), Publisher: r, Logger: zaptest.NewLogger(t)}
	if change != nil {
		change(&options)
	}
	w, err := New(options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stopped := false
	stop := func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(5 * time.Second):
			require.Fail(t, "Run does not return")
		}
	}
	t.Cleanup(stop)
	return r, stop
}

// workspace creates a KAITO workspace.
func (c *cluster) workspace(t *testing.T, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
		"metadata": map[string]any{"name": name, "namespace": namespace},
		"resource": map[string]any{
			"count":         int64(1),
			"labelSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/os": "linux"}},
		},
		"inference": map[string]any{"preset": map[string]any{"name": "phi-4-mini-instruct"}},
	}}
	out, err := c.dynamic.Resource(workspaces).Namespace(namespace).Create(t.Context(), u, metav1.CreateOptions{})
	require.NoError(t, err)
	return out
}

func (c *cluster) patchWorkspace(t *testing.T, namespace, name, patch string, subresources ...string) {
	t.Helper()
	_, err := c.dynamic.Resource(workspaces).Namespace(namespace).
		Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	require.NoError(t, err)
}

// pod creates a pod on a node, or on none where that is empty.
func (c *cluster) pod(t *testing.T, namespace, name, node string, gpus int, labels map[string]string) {
	t.Helper()
	grace := int64(0)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels},
		Spec: corev1.PodSpec{
			NodeName: node, TerminationGracePeriodSeconds: &grace, SchedulerName: "nobody",
			Containers: []corev1.Container{{Name: "model", Image: "registry.example/model:1"}},
		},
	}
	if gpus > 0 {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(int64(gpus), resource.DecimalSI)}
	}
	_, err := c.kube.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (c *cluster) patchPod(t *testing.T, namespace, name, patch string, subresources ...string) {
	t.Helper()
	_, err := c.kube.CoreV1().Pods(namespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	require.NoError(t, err)
}

func (c *cluster) deletePod(t *testing.T, namespace, name string) {
	t.Helper()
	zero := int64(0)
	require.NoError(t, c.kube.CoreV1().Pods(namespace).Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &zero}))
}

// node creates a ready node with GPUs for one test.
func (c *cluster) node(t *testing.T, name string, gpus int) {
	t.Helper()
	nodes := c.kube.CoreV1().Nodes()
	_, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"agentpool": "gpus", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = nodes.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}) })
	status := fmt.Sprintf(`{"status":{"allocatable":{"nvidia.com/gpu":"%[1]d","pods":"110"},"capacity":{"nvidia.com/gpu":"%[1]d","pods":"110"},`+
		`"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}]}}`, gpus)
	_, err = nodes.Patch(t.Context(), name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	_, err = nodes.Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{})
	require.NoError(t, err)
}
