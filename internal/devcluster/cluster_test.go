package devcluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// orphanEnv has the test binary start a cluster, print its folder, and wait to be
// killed.
const orphanEnv = "DEVCLUSTER_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		c, err := Start(context.Background(), Options{Components: []string{Scheduler, KWOK}})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(c.dir)
		select {}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, o Options) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	begun := time.Now()
	c, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s", time.Since(begun).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func clientOf(t *testing.T, c *Cluster) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// eventually polls check until it returns "" and fails the test with its last
// answer otherwise.
func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", what, problem)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestCluster(t *testing.T) {
	c := start(t, Options{})
	client := clientOf(t, c)

	t.Run("nodes are ready", func(t *testing.T) {
		nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "nvidia.com/gpu.present=true"})
		if err != nil {
			t.Fatal(err)
		}
		gpus := int64(0)
		for _, node := range nodes.Items {
			quantity := node.Status.Allocatable["nvidia.com/gpu"]
			gpus += quantity.Value()
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
					t.Errorf("node %s: %+v", node.Name, condition)
				}
			}
		}
		if len(nodes.Items) != 4 || gpus != 24 {
			t.Errorf("%d GPU nodes with %d GPUs, want 4 with 24", len(nodes.Items), gpus)
		}
	})

	t.Run("pods fare as they are told", func(t *testing.T) { testBehaviours(t, c, client) })

	t.Run("exec says that it is not there", func(t *testing.T) {
		answer, err := client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/aks-t4pool-vmss000000/proxy/healthz").DoRaw(t.Context())
		if err != nil || string(answer) != "ok" {
			t.Errorf("kubelet: %q, %v", answer, err)
		}
		err = client.CoreV1().RESTClient().Post().AbsPath("/api/v1/nodes/aks-t4pool-vmss000000/proxy/run/a/b/c").Do(t.Context()).Error()
		if err == nil || !strings.Contains(err.Error(), "simulated") {
			t.Errorf("run: %v", err)
		}
	})

	t.Run("objects outlive the API server", func(t *testing.T) { testRestart(t, c, client) })

	t.Run("a stop leaves nothing", func(t *testing.T) {
		if found := processesOf(t, c.dir); len(found) < 4 {
			t.Fatalf("found only %v; the check below would prove nothing", found)
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		expectNothingLeft(t, c.dir)
		if _, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err == nil {
			t.Error("the API server still answers")
		}
	})
}

func testBehaviours(t *testing.T, c *Cluster, client kubernetes.Interface) {
	namespace := Namespace(t, c)
	pods := client.CoreV1().Pods(namespace)
	const behaviour, delay = "devcluster.kubefoundry.io/behaviour", "devcluster.kubefoundry.io/delay"
	for _, name := range []string{"ready", "slow", "crashloop", "imagepull", "stuck"} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{behaviour: name, delay: "1s"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "model:1"}, {Name: "side", Image: "side:1"}}},
		}
		if name == "ready" {
			pod.Annotations = nil
		}
		if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	addresses := map[string]string{}
	for name, wrong := range map[string]func(*corev1.Pod) bool{
		"ready": func(p *corev1.Pod) bool { return !podReady(p) || p.Status.Phase != corev1.PodRunning },
		"slow":  func(p *corev1.Pod) bool { return !podReady(p) },
		"crashloop": func(p *corev1.Pod) bool {
			main := p.Status.ContainerStatuses[0]
			return main.State.Waiting == nil || main.State.Waiting.Reason != "CrashLoopBackOff" || main.RestartCount < 2 ||
				main.LastTerminationState.Terminated == nil || main.LastTerminationState.Terminated.ExitCode != 1 || podReady(p)
		},
		"imagepull": func(p *corev1.Pod) bool {
			main := p.Status.ContainerStatuses[0]
			return main.State.Waiting == nil || main.State.Waiting.Reason != "ImagePullBackOff"
		},
		"stuck": func(p *corev1.Pod) bool {
			main := p.Status.ContainerStatuses[0]
			return main.State.Waiting == nil || main.State.Waiting.Reason != "ContainerCreating"
		},
	} {
		eventually(t, name, func() string {
			pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			if len(pod.Status.ContainerStatuses) != 2 || wrong(pod) {
				return fmt.Sprintf("status %+v", pod.Status)
			}
			if name == "stuck" {
				return ""
			}
			if other, taken := addresses[pod.Status.PodIP]; !strings.HasPrefix(pod.Status.PodIP, "10.") || (taken && other != name) {
				t.Errorf("pod %s has the address %q, as has %q", name, pod.Status.PodIP, other)
			}
			addresses[pod.Status.PodIP] = name
			return ""
		})
	}
}

func podReady(pod *corev1.Pod) bool {
	conditions := map[corev1.PodConditionType]bool{}
	for _, c := range pod.Status.Conditions {
		conditions[c.Type] = c.Status == corev1.ConditionTrue
	}
	return conditions[corev1.PodReady] && conditions[corev1.ContainersReady] &&
		conditions[corev1.PodInitialized] && conditions[corev1.PodScheduled]
}

func testRestart(t *testing.T, c *Cluster, client kubernetes.Interface) {
	namespace := Namespace(t, c)
	maps := client.CoreV1().ConfigMaps(namespace)
	before, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: before.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range watch.ResultChan() {
		// It ends, which is the point: the range would not.
	}
	after, err := maps.Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil || after.UID != before.UID {
		t.Errorf("after the restart: %+v, %v", after, err)
	}
	revision, err := c.Compact(t.Context())
	if err != nil || revision == 0 {
		t.Fatalf("compact: %d, %v", revision, err)
	}
	_, err = maps.List(t.Context(), metav1.ListOptions{
		ResourceVersion: before.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact,
	})
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("read of a compacted version: %v, want 410", err)
	}
	again, err := Attach(c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.RestartAPIServer(t.Context()); !errors.Is(err, ErrAttached) {
		t.Errorf("restart of a shared cluster: %v", err)
	}
}

func TestComponentThatDies(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	c, err := Start(t.Context(), Options{Components: []string{Scheduler}})
	if err != nil {
		t.Fatal(err)
	}
	for pid, args := range processesOf(t, c.dir) {
		if strings.Contains(args, " kube-scheduler ") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-c.exited
	err = c.Stop()
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "kube-scheduler ended by itself: signal: killed") {
		t.Errorf("error %v does not name the component", err)
	}
	expectNothingLeft(t, c.dir)
}

func TestClusterEndsWithItsParent(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = append(os.Environ(), orphanEnv+"=1")
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(line)
	if found := processesOf(t, dir); len(found) < 3 {
		t.Fatalf("found only %v; the check below would prove nothing", found)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the cluster of a killed process", func() string {
		if found := processesOf(t, dir); len(found) > 0 {
			return fmt.Sprintf("runs on: %v", found)
		}
		if _, err := os.Stat(dir); err == nil {
			return "left its folder"
		}
		return ""
	})
}

// processesOf returns the command lines of running processes that name a folder,
// by process ID.
func processesOf(t *testing.T, dir string) map[int]string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte(dir)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		found[pid] = string(bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
	}
	return found
}

func expectNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if found := processesOf(t, dir); len(found) > 0 {
		t.Errorf("processes left: %v", found)
	}
	if entries, err := os.ReadDir(dir); err == nil {
		t.Errorf("files left in %s: %v", dir, entries)
	}
}
