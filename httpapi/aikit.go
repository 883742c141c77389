package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/aikit"
)

// setupWait is how long a request waits until the registry is ready; it is there then in any case.
const setupWait = 20 * time.Second

// ListAikitModels is AIKit's images with a model in them.
func (s *Server) ListAikitModels(w http.ResponseWriter, _ *http.Request) {
	all := aikit.Premade()
	writeJSON(w, http.StatusOK, api.AikitModelList{Models: all, Total: len(all)})
}

// GetAikitModel is one of them.
func (s *Server) GetAikitModel(w http.ResponseWriter, r *http.Request, id string) {
	m, ok := aikit.FindPremade(id)
	if !ok {
		s.fail(w, r, api.Errorf(api.ErrorCodeNotFound, "Premade model not found: %s. /api/aikit/models lists those that there are", id))
		return
	}
	writeJSON(w, http.StatusOK, m)
}

// imageMeant is what a request asks for: a ready image, or one to be built.
func (s *Server) imageMeant(r *http.Request) (request api.AikitBuildRequest, premade *api.AikitModel, spec aikit.Spec, err error) {
	if err = json.NewDecoder(r.Body).Decode(&request); err != nil { // the validator has read it
		return request, nil, spec, invalidParameter("body", "must be a JSON object")
	}
	if request.ModelSource == api.AikitBuildRequestModelSourcePremade {
		m, ok := aikit.FindPremade(request.PremadeModel)
		switch {
		case request.PremadeModel == "":
			return request, nil, spec, invalidParameter("premadeModel", "must be given with modelSource premade")
		case !ok:
			return request, nil, spec, invalidParameter("premadeModel", "is none of /api/aikit/models")
		}
		return request, &m, spec, nil
	}
	spec, details := aikit.NewSpec(request)
	if details != nil {
		return request, nil, spec, invalidDetails(details)
	}
	if request.Namespace == "" {
		request.Namespace = s.namespace
	}
	return request, nil, spec, nil
}

// PreviewAikitBuild tells which image a build would make.
func (s *Server) PreviewAikitBuild(w http.ResponseWriter, r *http.Request) {
	_, premade, spec, err := s.imageMeant(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if premade != nil {
		writeJSON(w, http.StatusOK, api.AikitPreview{ImageRef: premade.Image, WasPremade: true, RegistryUrl: aikit.PullRegistry})
		return
	}
	writeJSON(w, http.StatusOK, api.AikitPreview{ImageRef: spec.Ref(), RequiresBuild: true, RegistryUrl: aikit.PullRegistry})
}

// BuildAikitImage builds an image with a model in it, as the caller. A ready one need not be built.
func (s *Server) BuildAikitImage(w http.ResponseWriter, r *http.Request, p api.BuildAikitImageParams) {
	request, premade, spec, err := s.imageMeant(r)
	if err == nil && premade != nil {
		writeJSON(w, http.StatusOK, api.AikitBuild{Success: true, ImageRef: premade.Image, WasPremade: true, Message: "The image " + premade.Image + " is ready"})
		return
	}
	if err == nil && s.operations == nil {
		err = errNoOperations
	}
	if err == nil {
		err = s.mayBuild(r, request.Namespace)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	task, err := aikit.Task(s.identity.Config(from(r).caller), spec, request.Namespace, s.namespace, from(r).caller.Name())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.operate(w, r, task, p.Prefer, func(op api.Operation) any {
		var result aikit.Result
		_ = json.Unmarshal(op.Result, &result) // without one, it goes on
		answer := api.AikitBuild{Success: op.Phase == api.OperationPhaseSucceeded, ImageRef: spec.Ref(), BuildTime: result.BuildTime, Message: op.Message, Operation: op.Id}
		if !answer.Success {
			answer.Message = "The build goes on, as operation " + op.Id + ": " + op.Message
		}
		return answer
	})
}

func (s *Server) mayBuild(r *http.Request, namespace string) error {
	in := func(verb, group, resource string) authorizationv1.ResourceAttributes {
		return authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource}
	}
	return s.mustBeAllowed(r, "build", "an image", in("create", "batch", "jobs"), in("get", "batch", "jobs"), in("delete", "batch", "jobs"), in("list", "", "pods"),
		authorizationv1.ResourceAttributes{Namespace: s.namespace, Verb: "get", Group: "apps", Resource: "deployments", Name: aikit.RegistryName})
}

// GetAikitInfrastructure tells whether there is a registry, and whether the caller may build.
func (s *Server) GetAikitInfrastructure(w http.ResponseWriter, r *http.Request) {
	var registry aikit.Registry
	err := s.asCaller(r.Context(), r, "look at", "the registry", func(ctx context.Context, config *rest.Config) error {
		client, err := kubernetes.NewForConfig(config)
		if err == nil {
			registry, err = aikit.RegistryStatus(ctx, client, s.namespace)
		}
		return err
	})
	var builder api.AikitBuilder
	if err == nil {
		builder, err = s.builder(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.AikitInfrastructure{
		Ready: registry.Ready && builder.Ready, Builder: builder,
		Registry: api.AikitRegistry{Installed: registry.Installed, Ready: registry.Ready, Url: aikit.PullRegistry, Message: registry.Message},
	})
}

// builder needs nothing that would have to be made: each build is a Job. What may be missing is the right to make it.
func (s *Server) builder(r *http.Request) (api.AikitBuilder, error) {
	b := api.AikitBuilder{Exists: true, Ready: true, Running: true, Name: aikit.BuilderName, Driver: "kubernetes-job", Message: "Builds run as Jobs in the cluster"}
	err := s.mayBuild(r, s.namespace)
	if e, ok := asAPIError(err); ok && e.Code == api.ErrorCodeForbidden {
		b.Ready, b.Message, err = false, e.Message, nil
	}
	return b, err
}

// SetupAikitInfrastructure makes the registry, as the caller.
func (s *Server) SetupAikitInfrastructure(w http.ResponseWriter, r *http.Request) {
	var registry aikit.Registry
	err := s.act(r, "set up", fmt.Sprintf("the registry %s/%s", s.namespace, aikit.RegistryName), func(ctx context.Context, config *rest.Config) error {
		config.QPS = -1
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, setupWait)
		defer cancel()
		registry, err = aikit.Setup(ctx, client, s.namespace)
		return err
	})
	var builder api.AikitBuilder
	if err == nil {
		builder, err = s.builder(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.AikitSetup{
		Success: true, Message: registry.Message, Registry: api.AikitSetupRegistry{Url: aikit.PullRegistry, Ready: registry.Ready},
		Builder: api.AikitSetupBuilder{Name: builder.Name, Ready: builder.Ready},
	})
}
