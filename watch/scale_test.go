package watch

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
)

// Run it twice with -scale, on a cluster that goes on: the first run fills the cluster, and only the second, which does
// not, tells how much memory a watcher needs.
var scale = flag.Bool("scale", false, "fill the cluster with 1,000 nodes, 2,000 deployments and 10,000 pods, and measure")

func TestScale(t *testing.T) {
	if !*scale {
		t.Skip("needs -scale")
	}
	c := needCluster(t)
	c.fill(t)
	debug.FreeOSMemory()
	base, began, cpu := resident(t), time.Now(), processTime(t)
	r, _ := c.watcher(t, func(o *Options) { o.Logger = zap.NewNop() })
	require.Eventually(t, func() bool {
		for _, kind := range api.Kinds() {
			if state, ok := read[api.KindState](t, r, api.SourcesKey(kind)); !ok || !state.Synced {
				return false
			}
		}
		return true
	}, time.Minute, 10*time.Millisecond)
	t.Logf("synced after %v and %v of CPU with %d documents; %d MB resident, %d MB before",
		time.Since(began).Round(time.Millisecond), processTime(t)-cpu, len(r.snapshot()), resident(t), base)
	cpu = processTime(t)
	time.Sleep(30 * time.Second)
	debug.FreeOSMemory()
	peak := mostResident(t)
	t.Logf("idle: %.2f %% of a core; %d MB resident at rest, %d MB at its most", 100*(processTime(t)-cpu).Seconds()/30, resident(t), peak)
	require.Less(t, peak, 400)
}

func (c *cluster) fill(t *testing.T) {
	t.Helper()
	do := func(n int, create func(i int) error) {
		var wg sync.WaitGroup
		next := make(chan int)
		for range 32 {
			wg.Go(func() {
				for i := range next {
					if err := create(i); err != nil && !apierrors.IsAlreadyExists(err) {
						t.Error(err)
					}
				}
			})
		}
		for i := range n {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	ctx := t.Context()
	namespace := func(i int) string { return fmt.Sprintf("scale-%d", i%50) }
	node := func(i int) string { return fmt.Sprintf("scale-%d", i%1000) }
	if _, err := c.kube.CoreV1().Pods(namespace(9999)).Get(ctx, "p-9999", metav1.GetOptions{}); err == nil {
		return
	}
	do(50, func(i int) error {
		_, err := c.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}}, metav1.CreateOptions{})
		return err
	})
	do(1000, func(i int) error {
		_, err := c.kube.CoreV1().Nodes().Create(ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: node(i), Labels: map[string]string{"agentpool": fmt.Sprint("pool", i%10)}},
			Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}},
		}, metav1.CreateOptions{})
		return err
	})
	do(2000, func(i int) error {
		_, err := c.dynamic.Resource(workspaces).Namespace(namespace(i)).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
			"metadata":  map[string]any{"name": fmt.Sprint("w-", i)},
			"resource":  map[string]any{"count": int64(5), "labelSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/os": "linux"}}},
			"inference": map[string]any{"preset": map[string]any{"name": "phi-4-mini-instruct"}},
		}}, metav1.CreateOptions{})
		return err
	})
	do(10000, func(i int) error {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p-", i), Labels: map[string]string{workspaceLabel: fmt.Sprint("w-", i%2000)}},
			Spec: corev1.PodSpec{NodeName: node(i), Containers: []corev1.Container{{
				Name: "model", Image: "registry.example/model:1", Command: []string{"/bin/sh", "-c", strings.Repeat("argument ", 50)},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}},
			}}},
		}
		_, err := c.kube.CoreV1().Pods(namespace(i)).Create(ctx, p, metav1.CreateOptions{})
		for apierrors.IsForbidden(err) { // until the namespace has its ServiceAccount
			time.Sleep(50 * time.Millisecond)
			_, err = c.kube.CoreV1().Pods(namespace(i)).Create(ctx, p, metav1.CreateOptions{})
		}
		return err
	})
}

// resident is the memory that this process holds, in MB.
func resident(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	var size, pages int
	_, err = fmt.Sscan(string(raw), &size, &pages)
	require.NoError(t, err)
	return pages * os.Getpagesize() >> 20
}

// mostResident is the most memory that this process ever held, in MB.
func mostResident(t *testing.T) int {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return int(usage.Maxrss >> 10)
}

func processTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
