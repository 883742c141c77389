package install

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubefoundry/kubefoundry/api"
)

// patience is how long a test waits for what has to come.
const patience = 60 * time.Second

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kubefoundry-install-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubefoundry")
	out, err := exec.Command("go", "build", "-o", path, "github.com/kubefoundry/kubefoundry/cmd/kubefoundry").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return path, err
})

// server is the program, as a process that can be killed.
type server struct {
	t       *testing.T
	url     string
	command *exec.Cmd
}

func serve(t *testing.T, kubeconfig string, flags ...string) *server {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	s := &server{t: t, url: "http://" + address}
	s.command = exec.CommandContext(context.WithoutCancel(t.Context()), path, append([]string{
		"serve", "--kubeconfig", kubeconfig, "--listen", address, "--operation-lease", "3s", "--log-level", "warn",
	}, flags...)...)
	s.command.Stderr = os.Stderr
	require.NoError(t, s.command.Start())
	t.Cleanup(s.kill)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		response, err := s.do(http.MethodGet, "/api/runtimes/status", false)
		require.NoError(c, err)
		require.Equal(c, http.StatusOK, response.status, string(response.body))
	}, patience, 50*time.Millisecond)
	return s
}

func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

type response struct {
	status   int
	body     []byte
	location string
}

func (s *server) do(method, path string, async bool) (response, error) {
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, http.NoBody)
	if err != nil {
		return response{}, err
	}
	if async {
		request.Header.Set("Prefer", "respond-async")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return response{answer.StatusCode, b, answer.Header.Get("Location")}, err
}

func ask[T any](s *server, method, path string, status int) T {
	s.t.Helper()
	answer, err := s.do(method, path, status == http.StatusAccepted)
	require.NoError(s.t, err)
	require.Equal(s.t, status, answer.status, "%s %s: %s", method, path, answer.body)
	var out T
	require.NoError(s.t, json.Unmarshal(answer.body, &out))
	return out
}

// until waits until an operation is as it should be, in the list, which the stream is made of too.
func (s *server) until(id string, is func(api.Operation) bool) (found api.Operation) {
	s.t.Helper()
	var last api.Operation
	defer func() {
		if s.t.Failed() {
			s.t.Logf("last: %+v", last)
		}
	}()
	require.Eventually(s.t, func() bool {
		for _, op := range ask[api.OperationList](s, http.MethodGet, "/api/operations", http.StatusOK).Operations {
			if op.Id == id {
				last = op
				if is(op) {
					found = op
					return true
				}
			}
		}
		return false
	}, patience, 50*time.Millisecond, id)
	return found
}

func in(phase api.OperationPhase) func(api.Operation) bool {
	return func(op api.Operation) bool { return op.Phase == phase }
}

func step(op api.Operation, name string) api.OperationStep {
	for _, s := range op.Steps {
		if s.Name == name {
			return s
		}
	}
	return api.OperationStep{}
}

// world is the cluster, as its administrator.
type world struct {
	t *testing.T
	*access
}

func newWorld(t *testing.T) world {
	t.Helper()
	a, err := newAccess(shared.Cluster(t).Config())
	require.NoError(t, err)
	return world{t, a}
}

// releases are Helm's records of a namespace, as name.revision: status.
func (w world) releases(namespace string) map[string]string {
	w.t.Helper()
	secrets, err := w.kube.CoreV1().Secrets(namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	require.NoError(w.t, err)
	all := map[string]string{}
	for _, s := range secrets.Items {
		all[s.Labels["name"]+"."+s.Labels["version"]] = s.Labels["status"]
	}
	return all
}

func (w world) exists(get func() error) bool {
	w.t.Helper()
	err := get()
	if !apierrors.IsNotFound(err) {
		require.NoError(w.t, err)
	}
	return err == nil
}

var rayServices = schema.GroupVersionResource{Group: "ray.io", Version: "v1", Resource: "rayservices"}

// TestKilledInTheMiddle: a server that is killed leaves nothing half known, and the next one goes on.
func TestKilledInTheMiddle(t *testing.T) {
	w, repo := newWorld(t), newRepository(t)
	const namespace = "kuberay-system"
	flags := []string{"--install-sources", "kuberay=" + repo.URL + "/charts"}
	kubeconfig := shared.Cluster(t).Kubeconfig()
	job := func() bool {
		return w.exists(func() error {
			_, err := w.kube.BatchV1().Jobs(namespace).Get(t.Context(), "hook", metav1.GetOptions{})
			return err
		})
	}
	ofVersion := func(name string) bool {
		return w.exists(func() error {
			_, err := w.kube.CoreV1().ConfigMaps(namespace).Get(t.Context(), "of-"+name, metav1.GetOptions{})
			return err
		})
	}

	// Killed while Helm waits for a hook.
	repo.chart(t, "kuberay-operator", "1.5.1", operatorChart("1.5.1", blockedHook))
	s := serve(t, kubeconfig, flags...)
	started := ask[api.Operation](s, http.MethodPost, "/api/installation/providers/kuberay/install", http.StatusAccepted)
	require.Equal(t, api.OperationKindInstall, started.Kind)
	s.until(started.Id, func(op api.Operation) bool {
		return step(op, "install-kuberay-operator").Phase == api.OperationPhaseRunning && job()
	})
	again := ask[api.Operation](s, http.MethodPost, "/api/installation/providers/kuberay/install", http.StatusAccepted)
	require.Equal(t, started.Id, again.Id, "the same is joined")
	conflict, err := s.do(http.MethodPost, "/api/installation/providers/kuberay/uninstall", true)
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, conflict.status)
	require.Contains(t, string(conflict.body), started.Id)
	s.kill()
	require.Equal(t, map[string]string{"kuberay-operator.1": "pending-install"}, w.releases(namespace))

	s = serve(t, kubeconfig, flags...)
	interrupted := s.until(started.Id, in(api.OperationPhaseInterrupted))
	require.Contains(t, interrupted.Message, "kuberay-system/kuberay-operator is pending-install")
	require.Equal(t, api.OperationPhaseInterrupted, step(interrupted, "install-kuberay-operator").Phase)
	status := ask[api.InstallationStatus](s, http.MethodGet, "/api/installation/providers/kuberay/status", http.StatusOK)
	require.Equal(t, "pending-install", status.Releases[0].Status)
	require.Empty(t, status.Operation)

	// Started again, as a client that knows no operations.
	repo.chart(t, "kuberay-operator", "1.5.1", operatorChart("1.5.1", nil))
	result := ask[api.InstallationResult](s, http.MethodPost, "/api/installation/providers/kuberay/install", http.StatusOK)
	require.True(t, result.Success, result.Message)
	require.Equal(t, api.OperationPhaseSucceeded, result.Operation.Phase)
	require.Contains(t, step(*result.Operation, "install-kuberay-operator").Message, "left pending-install")
	require.Equal(t, map[string]string{"kuberay-operator.1": "deployed"}, w.releases(namespace))
	require.False(t, job(), "what the hook made is gone")
	require.Eventually(t, func() bool {
		status := ask[api.InstallationStatus](s, http.MethodGet, "/api/installation/providers/kuberay/status", http.StatusOK)
		return status.Installed && status.OperatorRunning && status.Version == "1.5.1"
	}, patience, 100*time.Millisecond)
	require.True(t, ask[api.InstallationResult](s, http.MethodPost, "/api/installation/providers/kuberay/install", http.StatusOK).AlreadyInstalled)

	// An upgrade, killed while Helm waits for a hook, and done again.
	repo.chart(t, "kuberay-operator", "1.5.2", operatorChart("1.5.2", blockedHook))
	started = ask[api.Operation](s, http.MethodPost, "/api/installation/providers/kuberay/upgrade?version=1.5.2", http.StatusAccepted)
	s.until(started.Id, func(api.Operation) bool { return job() })
	s.kill()
	require.Equal(t, map[string]string{"kuberay-operator.1": "deployed", "kuberay-operator.2": "pending-upgrade"}, w.releases(namespace))
	s = serve(t, kubeconfig, flags...)
	s.until(started.Id, in(api.OperationPhaseInterrupted))
	repo.chart(t, "kuberay-operator", "1.5.2", operatorChart("1.5.2", nil))
	result = ask[api.InstallationResult](s, http.MethodPost, "/api/installation/providers/kuberay/upgrade?version=1.5.2", http.StatusOK)
	require.True(t, result.Success)
	records := w.releases(namespace)
	require.Equal(t, "deployed", records["kuberay-operator.4"], "%v: rolled back as 3, upgraded as 4", records)
	for record, status := range records {
		require.NotContains(t, status, "pending", record)
	}
	require.True(t, ofVersion("1-5-2") && !ofVersion("1-5-1"))

	// Taken away: but for its definition, and all of its namespace, which was made for it.
	_, err = w.dynamic.Resource(rayServices).Namespace("default").Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": map[string]any{"name": "precious"},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	result = ask[api.InstallationResult](s, http.MethodPost, "/api/installation/providers/kuberay/uninstall", http.StatusOK)
	require.True(t, result.Success, result.Message)
	require.NotContains(t, result.Message, "stays", "the namespace")
	require.Eventually(t, func() bool {
		return !w.exists(func() error {
			_, err := w.kube.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
			return err
		})
	}, patience, 100*time.Millisecond)
	require.False(t, w.exists(func() error {
		_, err := w.kube.RbacV1().ClusterRoles().Get(t.Context(), "kuberay-operator", metav1.GetOptions{})
		return err
	}))

	// The definition, once somebody has seen what goes with it.
	const crds = "/api/installation/providers/kuberay/uninstall-crds"
	_, err = s.do(http.MethodPost, crds, false)
	require.NoError(t, err)
	loss := ask[api.CrdRemoval](s, http.MethodPost, crds+"?dryRun=true", http.StatusOK)
	require.Equal(t, []api.CrdLoss{{Name: "rayservices.ray.io", Count: 1, Objects: []string{"default/precious"}}}, loss.Crds)
	ask[api.ErrorBody](s, http.MethodPost, crds, http.StatusBadRequest)
	ask[api.ErrorBody](s, http.MethodPost, crds+"?confirm=other", http.StatusConflict)
	require.True(t, w.exists(func() error {
		_, err := w.dynamic.Resource(rayServices).Namespace("default").Get(t.Context(), "precious", metav1.GetOptions{})
		return err
	}))
	removed := ask[api.CrdRemoval](s, http.MethodPost, crds+"?confirm="+loss.Confirmation, http.StatusOK)
	require.Equal(t, 1, removed.Total)
	require.False(t, w.exists(func() error {
		_, err := w.dynamic.Resource(crdResource).Get(t.Context(), "rayservices.ray.io", metav1.GetOptions{})
		return err
	}))
	for _, op := range ask[api.OperationList](s, http.MethodGet, "/api/operations", http.StatusOK).Operations {
		require.NotContains(t, []api.OperationPhase{api.OperationPhasePending, api.OperationPhaseRunning}, op.Phase, op.Id)
	}
}
