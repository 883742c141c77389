package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// manager is the field manager under which the product writes too.
const manager = "kubefoundry"

// atOnce is how many objects are written at a time.
const atOnce = 16

// writer puts deployments into the cluster.
type writer struct {
	scenario string
	client   dynamic.Interface
	log      *slog.Logger
}

func newWriter(cfg *rest.Config, options Options) (*writer, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 500, 1000
	cfg.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("scenario client: %w", err)
	}
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &writer{scenario: options.Name, client: client, log: log}, nil
}

// create writes everything a scenario begins with. The last deployment is written
// after all others, for it is the one that finds the GPUs taken.
func (w *writer) create(ctx context.Context, list []deployment) error {
	if err := w.prepare(ctx, list); err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	if err := w.applyAll(ctx, list[:len(list)-1]); err != nil {
		return err
	}
	if w.scenario == Demo {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Second):
		}
	}
	if err := w.apply(ctx, list[len(list)-1]); err != nil {
		return err
	}
	for _, d := range list {
		if d.hold != "" {
			if err := w.remove(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) applyAll(ctx context.Context, list []deployment) error {
	work := make(chan deployment)
	var mu sync.Mutex
	var faults []error
	var group sync.WaitGroup
	for range min(atOnce, len(list)) {
		group.Go(func() {
			for d := range work {
				if err := w.apply(ctx, d); err != nil {
					mu.Lock()
					faults = append(faults, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, d := range list {
		work <- d
	}
	close(work)
	group.Wait()
	return errors.Join(faults...)
}

// prepare creates namespaces and, in each, the token for gated models. The
// runtimes' own namespaces are among them, deployments or not.
func (w *writer) prepare(ctx context.Context, list []deployment) error {
	names := []string{dynamoSystem, kuberaySystem, kaitoWorkspace}
	seen := map[string]bool{dynamoSystem: true, kuberaySystem: true, kaitoWorkspace: true}
	for _, d := range list {
		if !seen[d.namespace] {
			seen[d.namespace] = true
			names = append(names, d.namespace)
		}
	}
	for _, name := range names {
		namespace := &unstructured.Unstructured{Object: map[string]any{}}
		namespace.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
		namespace.SetName(name)
		if err := w.applyObject(ctx, namespace); err != nil {
			return err
		}
		secret := &unstructured.Unstructured{Object: map[string]any{
			"type": "Opaque", "stringData": map[string]any{"HF_TOKEN": "hf_of_the_development_cluster"},
		}}
		secret.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Secret"})
		secret.SetName(hfSecret)
		secret.SetNamespace(name)
		secret.SetLabels(map[string]string{"app.kubernetes.io/managed-by": manager, "kubefoundry.io/secret-type": "huggingface-token"})
		if err := w.applyObject(ctx, secret); err != nil {
			return err
		}
	}
	return nil
}

// apply writes a deployment, whether it exists or not.
func (w *writer) apply(ctx context.Context, d deployment) error {
	for _, object := range d.objects(w.scenario) {
		err := w.applyObject(ctx, object)
		if d.beta && apierrors.IsNotFound(err) {
			// The published definition may serve no v1beta1.
			d.beta = false
			return w.apply(ctx, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) applyObject(ctx context.Context, object *unstructured.Unstructured) error {
	body, err := json.Marshal(object.Object)
	if err != nil {
		return fmt.Errorf("%s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
	}
	force := true
	_, err = w.resource(object).Patch(ctx, object.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: manager, Force: &force, FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil {
		return fmt.Errorf("%s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

// remove deletes a deployment as the API does: the custom resource and what was
// created with it. For one that is to be held, it waits for the finalizer first.
func (w *writer) remove(ctx context.Context, d deployment) error {
	for i, object := range d.objects(w.scenario) {
		resource := w.resource(object)
		if i == 0 && d.hold != "" {
			if err := w.claimed(ctx, resource, object.GetName()); err != nil {
				return err
			}
		}
		err := resource.Delete(ctx, object.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s %s/%s: delete: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
		}
	}
	return nil
}

// claimed waits until an operator has put its finalizer on an object and, for a
// while longer, until it runs: what people delete mostly did. Without an operator
// there is no finalizer, and the object will just go.
func (w *writer) claimed(ctx context.Context, resource dynamic.ResourceInterface, name string) error {
	for range 80 {
		object, err := resource.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		state, _, _ := unstructured.NestedString(object.Object, "status", "state")
		if len(object.GetFinalizers()) > 0 && (state == "Ready" || object.GetDeletionTimestamp() != nil) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

func (w *writer) resource(object *unstructured.Unstructured) dynamic.ResourceInterface {
	gvk := object.GroupVersionKind()
	plural := map[string]string{
		"Namespace": "namespaces", "Secret": "secrets", "Service": "services",
		"Workspace": "workspaces", "RayService": "rayservices", "DynamoGraphDeployment": "dynamographdeployments",
	}[gvk.Kind]
	resource := w.client.Resource(gvk.GroupVersion().WithResource(plural))
	if object.GetNamespace() == "" {
		return resource
	}
	return resource.Namespace(object.GetNamespace())
}
