package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

const (
	benchNamespace = "bench"
	schemaFolder   = "devcluster/crds/schema"
	writeAtOnce    = 16
)

// apiServer is a cluster of etcd and kube-apiserver with the runtimes' definitions, in which nobody but the benchmark
// writes: what it counts is what KubeFoundry and the benchmark ask.
type apiServer struct {
	cluster *devcluster.Cluster
	client  dynamic.Interface
	// raw reads what is no object, such as metrics.
	raw rest.Interface
}

func startAPIServer(ctx context.Context) (*apiServer, error) {
	progress("starting etcd and kube-apiserver")
	cluster, err := devcluster.Start(ctx, devcluster.Options{GPUNodes: -1, CPUNodes: -1, Components: []string{}, Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	s := &apiServer{cluster: cluster}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, cluster.Stop())
	}
	return s, nil
}

func (s *apiServer) prepare(ctx context.Context) error {
	config := s.cluster.Config()
	config.QPS = -1 // no limit of the client's own
	var err error
	if s.client, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	discovery, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	s.raw = discovery.RESTClient()
	files, err := filepath.Glob(filepath.Join(schemaFolder, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("%s: no definitions; run this in the repository's folder: %w", schemaFolder, err)
	}
	for _, file := range files {
		if err := s.define(ctx, file); err != nil {
			return fmt.Errorf("definition %s: %w", file, err)
		}
	}
	namespace := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": benchNamespace},
	}}
	if _, err = s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return err
	}
	for { // until the definition is in effect
		if _, err = s.workspaces().List(ctx, metav1.ListOptions{Limit: 1}); !apierrors.IsNotFound(err) {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s *apiServer) define(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	definition := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &definition.Object); err != nil {
		return err
	}
	resource := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	_, err = s.client.Resource(resource).Create(ctx, definition, metav1.CreateOptions{})
	return err
}

func (s *apiServer) workspaces() dynamic.ResourceInterface {
	return s.client.Resource(schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"}).Namespace(benchNamespace)
}

func workspaceName(n int) string { return fmt.Sprintf("model-%05d", n) }

// deploy makes the deployments from one number up to another, with a status: Workspaces, the smallest of the three.
func (s *apiServer) deploy(ctx context.Context, from, to int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writeAtOnce)
	for n := from; n < to; n++ {
		group.Go(func() error {
			workspace := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": map[string]any{"name": workspaceName(n)},
				"resource": map[string]any{
					"instanceType": "Standard_NC24ads_A100_v4", "count": int64(1),
					"labelSelector": map[string]any{"matchLabels": map[string]any{"apps": workspaceName(n)}},
				},
				"inference": map[string]any{"preset": map[string]any{"name": "qwen2.5-coder-7b-instruct"}},
			}}
			if _, err := s.workspaces().Create(ctx, workspace, metav1.CreateOptions{}); err != nil {
				return err
			}
			return s.report(ctx, n, "ready")
		})
	}
	return group.Wait()
}

// report writes a deployment's status, as KAITO does.
func (s *apiServer) report(ctx context.Context, n int, message string) error {
	condition := func(kind, message string) map[string]any {
		return map[string]any{
			"type": kind, "status": "True", "reason": kind + "Success", "message": message,
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		}
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{
		condition("ResourceReady", "nodes are ready"), condition("InferenceReady", "the server answers"),
		condition("WorkspaceSucceeded", message),
	}}})
	if err != nil {
		return err
	}
	_, err = s.workspaces().Patch(ctx, workspaceName(n), types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

func (s *apiServer) stop() error { return s.cluster.Stop() }
