package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

const (
	fieldManager = "kubefoundry"
	dryRunTime   = 5 * time.Second // a preview does not wait longer for the API server's verdict
	seenTime     = time.Second     // a creation does not wait longer until lists have it
)

// companions are the kinds that runtimes make beside a custom resource, and how people call them.
var companionResources = map[string]schema.GroupVersionResource{
	"Service":               {Version: "v1", Resource: "services"},
	"PersistentVolumeClaim": {Version: "v1", Resource: "persistentvolumeclaims"},
}

// CreateDeployment creates what a configuration describes, in the caller's name. Either nothing is made, or the custom resource
// is: what cannot be made beside it then, though a dry run before was let pass, is told with what to do about it.
func (s *Server) CreateDeployment(w http.ResponseWriter, r *http.Request) {
	b, err := s.build(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	made, err := s.create(r, b)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	warnings := append(b.Warnings, s.createCompanions(r, b, made)...)
	s.awaitSeen(r.Context(), b, made)
	writeJSON(w, http.StatusCreated, api.DeploymentCreated{
		Message: "Deployment created successfully", Name: b.config.Name, Namespace: b.config.Namespace, Provider: b.config.Provider, Warnings: warnings,
	})
}

func (b *built) resource() schema.GroupVersionResource {
	r := b.runtime.Info().Resource
	return schema.GroupVersionResource{Group: r.Group, Version: r.Versions[0], Resource: r.Plural}
}

// object names the custom resource, for errors and the log.
func (b *built) object() string {
	return b.resource().GroupResource().String() + " " + b.config.Namespace + "/" + b.config.Name
}

func createOptions(dry bool) metav1.CreateOptions {
	o := metav1.CreateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict}
	if dry {
		o.DryRun = []string{metav1.DryRunAll}
	}
	return o
}

// create makes the custom resource, if what goes with it can be made too.
func (s *Server) create(r *http.Request, b *built) (made *unstructured.Unstructured, err error) {
	var causes []api.ErrorDetail
	err = s.act(r, "create", b.object(), func(ctx context.Context, config *rest.Config) error {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		for _, companion := range b.Companions {
			if _, err = put(ctx, client, companion, true); err != nil {
				causes = causesOf(err)
				return about(b.object(), companion, err)
			}
		}
		made, err = client.Resource(b.resource()).Namespace(b.config.Namespace).Create(ctx, b.Primary, createOptions(false))
		causes = causesOf(err)
		return b.explain(err)
	})
	if e, ok := errors.AsType[*api.Error](err); ok && len(e.Details) == 0 {
		e.Details = causes
	}
	return made, err
}

// explain says of a resource that is not served which runtime that is.
func (b *built) explain(err error) error {
	if err != nil && isNotServed(err) {
		info := b.runtime.Info()
		return api.Errorf(api.ErrorCodeNotFound, "cannot create %s: the cluster does not serve %s in version %s; install %s first",
			b.object(), info.Resource.CRD(), info.Resource.Versions[0], info.Name)
	}
	return err
}

// about says which companion it is that stands in the way of a custom resource.
func about(object string, companion *unstructured.Unstructured, err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return api.Errorf(e.Code, "cannot create %s: %s", object, e.Message)
	}
	code, why := explain(err)
	if code == api.ErrorCodeUnavailable || code == api.ErrorCodeUnauthenticated || impersonationRefused.MatchString(why) {
		return err
	}
	return api.Errorf(code, "cannot create %s: its %s %s cannot be created: %s", object, companion.GetKind(), companion.GetName(), why)
}

// causesOf are the fields that the API server names.
func causesOf(err error) []api.ErrorDetail {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) || answer.Status().Details == nil {
		return nil
	}
	var details []api.ErrorDetail
	for _, cause := range answer.Status().Details.Causes {
		if cause.Field != "" {
			details = append(details, api.ErrorDetail{Field: cause.Field, Message: cause.Message})
		}
	}
	return details
}

// put creates a companion, or takes over one that KubeFoundry made for a deployment of this name before.
func put(ctx context.Context, client dynamic.Interface, o *unstructured.Unstructured, dry bool) (*unstructured.Unstructured, error) {
	objects := client.Resource(companionResources[o.GetKind()]).Namespace(o.GetNamespace())
	made, err := objects.Create(ctx, o, createOptions(dry))
	if !apierrors.IsAlreadyExists(err) {
		return made, err
	}
	old, err := objects.Get(ctx, o.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if labels := old.GetLabels(); labels[runtimes.LabelManagedBy] != runtimes.ManagedBy || labels[runtimes.LabelInstance] != o.GetLabels()[runtimes.LabelInstance] {
		return nil, api.Errorf(api.ErrorCodeConflict, "there is a %s %s already, which KubeFoundry did not make for a deployment of this name; choose another name, or remove it",
			o.GetKind(), o.GetName())
	}
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	if dry {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return objects.Apply(ctx, o.GetName(), o, options)
}

// createCompanions makes what goes with a custom resource, which owns it. The custom resource stays where one cannot be made:
// the caller is told, and what to do.
func (s *Server) createCompanions(r *http.Request, b *built, owner *unstructured.Unstructured) []string {
	var warnings []string
	for _, companion := range b.Companions {
		companion = companion.DeepCopy()
		companion.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(),
		}})
		object := companionResources[companion.GetKind()].Resource + " " + companion.GetNamespace() + "/" + companion.GetName()
		err := s.act(r, "create", object, func(ctx context.Context, config *rest.Config) error {
			client, err := dynamic.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("client: %w", err)
			}
			_, err = put(ctx, client, companion, false)
			return err
		})
		if err != nil {
			warnings = append(warnings, fmt.Sprintf(
				"The deployment is created, but its %s %s is not: %s. Create it from the manifest of the preview, or delete the deployment and create it again",
				companion.GetKind(), companion.GetName(), err))
		}
	}
	return warnings
}

// awaitSeen waits a moment until lists have what was created, so that whoever looks next finds it.
func (s *Server) awaitSeen(ctx context.Context, b *built, made *unstructured.Unstructured) {
	ctx, cancel := context.WithTimeout(ctx, seenTime)
	defer cancel()
	key := api.DeploymentKey(b.config.Namespace, b.config.Provider, b.config.Name)
	for {
		changed := s.view.Wait()
		document, found, err := s.view.Get(key, api.Everything())
		var d struct {
			Resource struct{ UID string } `json:"resource"`
		}
		if err != nil || found && json.Unmarshal(document, &d) == nil && d.Resource.UID == string(made.GetUID()) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// PreviewDeployment shows what would be created, and what the API server would say to it.
func (s *Server) PreviewDeployment(w http.ResponseWriter, r *http.Request) {
	b, err := s.build(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	objects := []map[string]any{b.Primary.Object}
	for _, companion := range b.Companions {
		objects = append(objects, companion.Object)
	}
	writeJSON(w, http.StatusOK, api.DeploymentPreview{
		Resources:       manifestsOf(objects...),
		PrimaryResource: api.PrimaryResource{Kind: b.Primary.GetKind(), ApiVersion: b.Primary.GetAPIVersion()},
		Warnings:        b.Warnings, DryRun: s.dryRun(r, b),
	})
}

// dryRun asks the API server for its verdict. Where it cannot be asked there is none; the manifests can be shown all the same.
func (s *Server) dryRun(r *http.Request, b *built) api.DryRun {
	accepted := true
	verdict := api.DryRun{Message: "The API server would accept it."}
	ctx, cancel := context.WithTimeout(r.Context(), dryRunTime)
	defer cancel()
	err := s.asCaller(ctx, r, "create", b.object(), func(ctx context.Context, config *rest.Config) error {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		_, err = client.Resource(b.resource()).Namespace(b.config.Namespace).Create(ctx, b.Primary, createOptions(true))
		if err != nil {
			verdict.Details = causesOf(err)
			return b.explain(err)
		}
		for _, companion := range b.Companions {
			if _, err = put(ctx, client, companion, true); err != nil {
				verdict.Details = causesOf(err)
				return about(b.object(), companion, err)
			}
		}
		return nil
	})
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case err == nil:
	case ok && e.Code != api.ErrorCodeUnavailable:
		accepted = false
		verdict.Message = e.Message
	default:
		verdict.Message = "The API server could not be asked: " + strings.TrimSpace(err.Error())
		return verdict
	}
	verdict.Accepted = &accepted
	verdict.Message = cmp.Or(verdict.Message, "no reason is given")
	return verdict
}
