package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// pod creates a pod of a deployment and waits for what is to become of it.
func (k *live) pod(t *testing.T, d api.Deployment, name, behaviour string, until func(*corev1.Pod) bool, change ...func(*corev1.Pod)) api.Pod {
	t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: d.Namespace, Labels: map[string]string{"kaito.sh/workspace": d.Name},
			Annotations: map[string]string{"devcluster.kubefoundry.io/behaviour": behaviour, "devcluster.kubefoundry.io/delay": "100ms"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "model", Image: "registry.example/llama:1", Args: []string{"run", "--address=:5000"}}}},
	}
	for _, c := range change {
		c(p)
	}
	pods := k.core.CoreV1().Pods(d.Namespace)
	_, err := pods.Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		found, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		return until(found)
	}, 30*time.Second, 20*time.Millisecond)
	document := pod(d.Namespace, name, d.Id)
	document.Node = "node"
	document.Containers = nil
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		document.Containers = append(document.Containers, api.Container{Name: c.Name, State: api.ContainerStateRunning})
	}
	return document
}

func running(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }

func restarted(p *corev1.Pod) bool {
	return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].LastTerminationState.Terminated != nil
}

func waiting(p *corev1.Pod) bool {
	return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil
}

func (a *acting) logsAs(t *testing.T, who *devcluster.Identity, d api.Deployment, query string) api.Logs {
	t.Helper()
	var l api.Logs
	a.as(who, http.MethodGet, "/api/deployments/"+d.Name+"/logs?namespace="+d.Namespace+query).into(t, &l)
	return l
}

func testLogs(t *testing.T, k *live) {
	a := k.serve(t, impersonator...)
	namespace := devcluster.Namespace(t, k.Cluster)
	reader := k.somebody(t, namespace, "reader", readingLog)
	viewer, stranger := k.somebody(t, namespace, "viewer", seeing), k.ServiceAccount(t, namespace, "stranger")
	d := deployment(namespace, "kaito", "llama")
	a.put(d)
	require.Equal(t, api.Logs{Message: "No pods found for this deployment"}, a.logsAs(t, reader, d, ""))

	a.put(k.pod(t, d, "llama-0", "ready", running))
	var l api.Logs
	require.Eventually(t, func() bool {
		l = a.logsAs(t, reader, d, "")
		return strings.Count(l.Logs, "\n") >= 3
	}, 20*time.Second, 100*time.Millisecond)
	require.Equal(t, "llama-0", l.PodName)
	require.Equal(t, "model", l.Container)
	require.Empty(t, l.Message)
	require.NotContains(t, l.Logs, "\x1b")

	last := a.logsAs(t, reader, d, "&podName=llama-0&container=model&tailLines=2&timestamps=true").Logs
	lines := strings.Split(strings.TrimSuffix(last, "\n"), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		at, _, _ := strings.Cut(line, " ")
		_, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
	}

	path := "/api/deployments/llama/logs?namespace=" + namespace
	refused := a.as(viewer, http.MethodGet, path).failed(t, 403, api.ErrorCodeForbidden)
	require.Contains(t, refused, "cannot read the log of pod "+namespace+"/llama-0: ")
	require.Contains(t, refused, fmt.Sprintf(`User %q cannot get resource "pods/log" in API group "" in the namespace %q`, viewer.Name, namespace))
	a.as(stranger, http.MethodGet, path).failed(t, 404, api.ErrorCodeNotFound)
	require.Contains(t, a.as(reader, http.MethodGet, path+"&podName=another").failed(t, 400, api.ErrorCodeInvalidRequest), "Pod another is not part of deployment llama")
	require.Contains(t, a.as(reader, http.MethodGet, path+"&container=other").failed(t, 400, api.ErrorCodeInvalidRequest), "container other is not valid for pod llama-0")

	require.NotZero(t, a.log.FilterMessage("log read").FilterField(zap.String("caller", reader.Name)).Len())
	require.Empty(t, a.audit(), "reading is no action")

	// The other way in.
	jane := user{name: "jane@" + namespace, groups: []string{"system:authenticated"}}
	k.BindIn(t, namespace, devcluster.User(jane.name), k.Role(t, "reader", readingLog...))
	var through api.Logs
	a.front(t, k)(jane, http.MethodGet, path).into(t, &through)
	require.Equal(t, "llama-0", through.PodName)
	require.NotEmpty(t, through.Logs)
}

func testLogsOfOddPods(t *testing.T, k *live) {
	a := k.serve(t)
	namespace := devcluster.Namespace(t, k.Cluster)
	reader := k.somebody(t, namespace, "reader", readingLog)
	narrow := k.somebody(t, namespace, "narrow", append(slices.Clone(seeing), rule("", "pods/log", "get")))
	d := deployment(namespace, "kaito", "llama")
	a.put(d)
	path := func(pod, more string) string {
		return "/api/deployments/llama/logs?namespace=" + namespace + "&podName=" + pod + more
	}

	crashing := k.pod(t, d, "crashing", "crashloop", restarted)
	crashing.Ready = false
	stuck := k.pod(t, d, "stuck", "stuck", waiting)
	several := k.pod(t, d, "several", "ready", running, func(p *corev1.Pod) {
		p.Annotations["kubectl.kubernetes.io/default-container"] = "proxy"
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "proxy", Image: "registry.example/proxy:1"})
		p.Spec.InitContainers = []corev1.Container{{Name: "download", Image: "registry.example/download:1"}}
	})
	nowhere := k.pod(t, d, "nowhere", "ready", func(*corev1.Pod) bool { return true }, func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"no": "such"} })
	nowhere.Node = ""
	gone := several
	gone.Name, gone.Id = "gone", namespace+"/gone"
	a.put(crashing, stuck, several, nowhere, gone)

	require.Equal(t, "crashing", a.logsAs(t, reader, d, "").PodName, "the first that is not ready")
	require.NotEmpty(t, a.logsAs(t, reader, d, "&podName=crashing&previous=true").Logs)
	require.Contains(t, a.as(reader, http.MethodGet, path("stuck", "")).failed(t, 409, api.ErrorCodeConflict), `container "model" in pod "stuck" is waiting to start: ContainerCreating`)

	require.Equal(t, "proxy", a.logsAs(t, reader, d, "&podName=several").Container, "as the pod says")
	require.Equal(t, "model", a.logsAs(t, narrow, d, "&podName=several").Container, "the first, where the pod may not be read")
	require.Equal(t, "model", a.logsAs(t, reader, d, "&podName=several&container=model").Container)
	require.Equal(t, api.Logs{PodName: "nowhere", Container: "model", Message: "Nothing is logged, for the pod is not on a node yet"}, a.logsAs(t, reader, d, "&podName=nowhere"))
	require.Contains(t, a.as(reader, http.MethodGet, path("gone", "")).failed(t, 404, api.ErrorCodeNotFound), `pods "gone" not found`)
}
