package deploy_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// private is the cluster of this package alone, even where others share one: there can be one installation in a cluster, and
// discovery is broken while its API is registered and nobody answers.
var private struct {
	start   sync.Once
	cluster *devcluster.Cluster
	err     error
}

type tests struct{ *testing.M }

func (m tests) Run() int {
	code := m.M.Run()
	if private.cluster == nil {
		return code
	}
	if err := private.cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// client-go keeps its connections for the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(tests{m}, goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}

type cluster struct {
	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
}

// needCluster returns a cluster with the runtimes' definitions, and a controller manager for the sake of aggregated roles.
func needCluster(t *testing.T) cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	private.start.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Minute) // with the first build
		defer cancel()
		private.cluster, private.err = devcluster.Start(ctx, devcluster.Options{
			GPUNodes: -1, CPUNodes: -1, Components: []string{devcluster.ControllerManager},
		})
		for _, rt := range registry.All() {
			if private.err == nil {
				private.err = private.cluster.Define(ctx, rt.Info().Resource.CRD())
			}
		}
	})
	require.NoError(t, private.err)
	c := cluster{config: private.cluster.Config()}
	c.config.QPS = -1
	var err error
	c.kube, err = kubernetes.NewForConfig(c.config)
	require.NoError(t, err)
	c.dynamic, err = dynamic.NewForConfig(c.config)
	require.NoError(t, err)
	return c
}

// apply applies objects and deletes them when the test ends, all but namespaces, which would take their time.
func (c cluster) apply(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, object := range objects {
			if object.GetKind() == "Namespace" {
				continue
			}
			err := deploy.Resource(c.dynamic, object).Delete(ctx, object.GetName(), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				t.Errorf("delete %s %s: %v", object.GetKind(), object.GetName(), err)
			}
		}
	})
	require.NoError(t, deploy.ApplyObjects(t.Context(), c.config, objects))
}

// namespace makes sure that there is one.
func (c cluster) namespace(t *testing.T, name string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("v1")
	object.SetKind("Namespace")
	object.SetName(name)
	require.NoError(t, deploy.ApplyObjects(t.Context(), c.config, []*unstructured.Unstructured{object}))
}

// uses reads the files of a folder that another process is about to read. Go keeps the results of tests by what they read
// themselves, and would not run them again when only the chart has changed.
func uses(t *testing.T, folder string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	}))
}

var helm struct {
	build sync.Once
	path  string
	err   error
}

// runHelm runs the Helm that tools/helm pins, and gives it a text to read.
func runHelm(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Helm, which takes minutes to compile")
	}
	helm.build.Do(func() {
		modfile := filepath.Join("..", "tools", "helm", "go.mod")
		out, err := exec.CommandContext(context.Background(), "go", "tool", "-n", "-modfile="+modfile, "helm").CombinedOutput()
		helm.path, helm.err = strings.TrimSpace(string(out)), err
	})
	require.NoError(t, helm.err, helm.path)
	uses(t, "chart")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute) // cleanups use it too
	defer cancel()
	command := exec.CommandContext(ctx, helm.path, args...)
	command.Stdin = strings.NewReader(input)
	home := t.TempDir()
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("helm: %w: %s", err, problems.String())
	}
	return string(out), err
}

// template renders the chart with values in YAML.
func template(t *testing.T, values string) ([]*unstructured.Unstructured, error) {
	t.Helper()
	out, err := runHelm(t, values, "template", "kubefoundry", "chart", "--namespace", deploy.Namespace, "--kube-version", "v1.37.0", "--values", "-")
	if err != nil {
		return nil, err
	}
	return deploy.Parse([]byte(out))
}

func render(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := template(t, values)
	require.NoError(t, err)
	return objects
}

// find returns the object of a kind and name, nil where there is none.
func find(objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	return nil
}

// as decodes an object into its Go type, where a field that the type does not have is an error.
func as[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	require.NotNil(t, object)
	out := new(T)
	require.NoError(t, decode(object, out))
	return out
}
