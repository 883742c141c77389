package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubefoundry/kubefoundry/api"
)

// act does something in the caller's name, and writes one line about it to the log, whatever comes of it. object names what it
// is done to; what does it returns an error of the Kubernetes API as it is.
func (s *Server) act(r *http.Request, verb, object string, do func(ctx context.Context) error) error {
	who := from(r)
	err := actionError(do(r.Context()), verb, object)
	fields := []zap.Field{
		zap.String("caller", who.caller.Name()), zap.String("via", string(who.caller.Via())),
		zap.String("verb", verb), zap.String("object", object),
	}
	if err == nil {
		s.audit.Info("action", append(fields, zap.String("outcome", "done"))...)
		return nil
	}
	outcome := "failed"
	if e, ok := errors.AsType[*api.Error](err); ok {
		outcome = string(e.Code)
	}
	s.audit.Info("action", append(fields, zap.String("outcome", outcome), zap.Error(err))...)
	return err
}

// actionError says what the Kubernetes API answered, for the caller to read.
func actionError(err error, verb, object string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*api.Error](err); ok {
		return err
	}
	code := api.ErrorCodeUnavailable
	var status apierrors.APIStatus
	answered := errors.As(err, &status)
	switch {
	case !answered:
		return api.Errorf(code, "cannot %s %s: the Kubernetes API does not answer; try again later", verb, object)
	case apierrors.IsUnauthorized(err):
		code = api.ErrorCodeUnauthenticated
	case apierrors.IsForbidden(err):
		code = api.ErrorCodeForbidden
	case apierrors.IsNotFound(err):
		code = api.ErrorCodeNotFound
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		code = api.ErrorCodeConflict
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		code = api.ErrorCodeInvalidRequest
	case apierrors.IsTooManyRequests(err):
		code = api.ErrorCodeTooManyRequests
	}
	return api.Errorf(code, "cannot %s %s: %s", verb, object, status.Status().Message)
}

// DeleteDeployment deletes the custom resource behind a deployment.
func (s *Server) DeleteDeployment(w http.ResponseWriter, r *http.Request, name api.Name, p api.DeleteDeploymentParams) {
	document, err := s.deployment(r, name, p.Namespace, p.Runtime)
	var d api.Deployment
	if err == nil {
		if err = json.Unmarshal(document, &d); err != nil {
			err = fmt.Errorf("deployment %s: %w", name, err)
		}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	resource := schema.GroupVersionResource{Group: d.Resource.Group, Version: d.Resource.Version, Resource: d.Resource.Resource}
	err = s.act(r, "delete", resource.GroupResource().String()+" "+d.Namespace+"/"+d.Name, func(ctx context.Context) error {
		client, err := dynamic.NewForConfig(s.identity.Config(from(r).caller))
		if err != nil {
			return err //nolint:wrapcheck // act says what it was for
		}
		uid := types.UID(d.Resource.Uid) // the one that the caller has seen, and no later one of the same name
		propagation := metav1.DeletePropagationBackground
		return client.Resource(resource).Namespace(d.Namespace).Delete(ctx, d.Name, metav1.DeleteOptions{
			PropagationPolicy: &propagation, Preconditions: &metav1.Preconditions{UID: &uid},
		})
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.Message{Message: "Deployment deleted successfully"})
}

// GetDeploymentLogs is the last lines of a pod's log.
func (s *Server) GetDeploymentLogs(w http.ResponseWriter, r *http.Request, _ api.Name, _ api.GetDeploymentLogsParams) {
	s.fail(w, r, api.Errorf(api.ErrorCodeInternal, "being written"))
}
