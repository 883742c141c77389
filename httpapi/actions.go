package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// callerTime is how long the Kubernetes API may take for what is done in a caller's name.
const callerTime = 30 * time.Second

// act changes something in the caller's name, and writes one line about it to the log, whatever comes of it. object names what
// is changed; do returns an error of the Kubernetes API as it is. What was begun is brought to its end, though the caller may
// be gone.
func (s *Server) act(r *http.Request, verb, object string, do func(ctx context.Context, config *rest.Config) error) error {
	err := s.asCaller(context.WithoutCancel(r.Context()), r, verb, object, do)
	s.record(r, verb, object, err)
	return err
}

// record is the one line about an action.
func (s *Server) record(r *http.Request, verb, object string, err error) {
	caller := from(r).caller
	fields := []zap.Field{
		zap.String("caller", caller.Name()), zap.String("via", string(caller.Via())), zap.String("verb", verb), zap.String("object", object),
	}
	outcome := "done"
	if err != nil {
		outcome = "failed"
		if e, ok := errors.AsType[*api.Error](err); ok {
			outcome = string(e.Code)
		}
		fields = append(fields, zap.Error(err))
	}
	s.audit.Info("action", append(fields, zap.String("outcome", outcome))...)
}

// asCaller asks the Kubernetes API for something in the caller's name. Its errors are for the caller to read.
func (s *Server) asCaller(ctx context.Context, r *http.Request, verb, object string, do func(ctx context.Context, config *rest.Config) error) error {
	ctx, cancel := context.WithTimeout(ctx, callerTime)
	defer cancel()
	caller := from(r).caller
	config := s.identity.Config(caller)
	config.WarningHandlerWithContext = rest.NoWarnings{} // that a version is deprecated is nothing that a caller can change
	err := do(ctx, config)
	if _, ok := errors.AsType[*api.Error](err); err == nil || ok {
		return err
	}
	code, why := explain(err)
	switch {
	case apierrors.IsUnauthorized(err) && caller.Via() != api.MeViaToken: // they showed no credentials: these are the server's
		code, why = api.ErrorCodeUnavailable, "the Kubernetes API does not accept this server's own credentials; whoever runs it has to renew them"
	case apierrors.IsForbidden(err) && config.Impersonate.UserName != "" && impersonationRefused.MatchString(words(err)):
		why = "KubeFoundry may not act in your name, whatever your own rights are. An administrator has to set impersonation.enabled " +
			"in its Helm chart, or to bind the ClusterRole kubefoundry-impersonator to its ServiceAccount. kubectl works without that"
		s.log.Warn("the server's ServiceAccount lacks the ClusterRole kubefoundry-impersonator", zap.Error(err))
	}
	if code == api.ErrorCodeUnavailable {
		s.log.Warn("the Kubernetes API does not do what a caller asks for", zap.String("verb", verb), zap.String("object", object), zap.Error(err))
	}
	return api.Errorf(code, "cannot %s %s: %s", verb, object, why)
}

// explain puts an error of the Kubernetes API into ours, for the caller to read: in its own words, which say who lacks which
// right to what, where they tell more than ours.
func explain(err error) (code api.ErrorCode, why string) {
	switch why = words(err); {
	case why == "":
		return api.ErrorCodeUnavailable, "the Kubernetes API does not answer; try again later"
	case apierrors.IsUnauthorized(err):
		return api.ErrorCodeUnauthenticated, "the cluster does not accept your token any more; get a new one and try again"
	case apierrors.IsForbidden(err):
		return api.ErrorCodeForbidden, why
	case isNotServed(err):
		return api.ErrorCodeNotFound, "the Kubernetes API does not serve this resource any more, at least not in this version; try again in a minute"
	case apierrors.IsNotFound(err):
		return api.ErrorCodeNotFound, why
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return api.ErrorCodeConflict, why
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return api.ErrorCodeInvalidRequest, why
	case apierrors.IsTooManyRequests(err):
		return api.ErrorCodeTooManyRequests, why
	}
	return api.ErrorCodeUnavailable, why
}

// words are the Kubernetes API's own, empty where it did not answer.
func words(err error) string {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return ""
	}
	return cmp.Or(answer.Status().Message, "no reason is given")
}

// impersonationRefused is how the API server refuses to let one user act as another. The verb is impersonate, or since
// Kubernetes 1.36 perhaps impersonate-on:user-info:delete, on the resource that is to be changed: what is refused tells
// nothing. No user's name matches, for quotes in it are escaped.
var impersonationRefused = regexp.MustCompile(`^(\S+( "(\\.|[^"\\])*")? is )?forbidden: User "(\\.|[^"\\])*" cannot impersonate[ :-]`)

// isNotServed tells a resource that is not there from an object that is not: the first is no answer of a resource's own.
func isNotServed(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// DeleteDeployment deletes the custom resource behind a deployment, and what KubeFoundry made beside it.
func (s *Server) DeleteDeployment(w http.ResponseWriter, r *http.Request, name api.Name, p api.DeleteDeploymentParams) {
	var d api.Deployment
	document, err := s.deployment(r, name, p.Namespace, p.Runtime)
	if err == nil {
		if err = json.Unmarshal(document, &d); err == nil && d.Resource.Uid == "" { // any object of its name would be deleted
			err = errors.New("its document has no uid")
		}
		if err != nil {
			err = fmt.Errorf("deployment %s: %w", name, err)
		}
	}
	if err != nil {
		s.record(r, "delete", "deployment "+name, err)
		s.fail(w, r, err)
		return
	}
	if err = s.deleteResource(r, &d); err != nil {
		s.fail(w, r, err)
		return
	}
	message := "Deployment deleted successfully"
	if d.Phase == api.PhaseTerminating {
		message = "Deployment is being deleted already"
	}
	writeJSON(w, http.StatusOK, api.Message{Message: strings.Join(append([]string{message}, s.deleteCompanions(r, &d)...), ". ")})
}

// deleteResource asks for it also where it is Terminating: whether the caller may is the API server's to say.
func (s *Server) deleteResource(r *http.Request, d *api.Deployment) error {
	resource := schema.GroupVersionResource{Group: d.Resource.Group, Version: d.Resource.Version, Resource: d.Resource.Resource}
	object := resource.GroupResource().String() + " " + d.Namespace + "/" + d.Name
	return s.act(r, "delete", object, func(ctx context.Context, config *rest.Config) error {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		err = client.Resource(resource).Namespace(d.Namespace).Delete(ctx, d.Name, thisOne(types.UID(d.Resource.Uid)))
		switch {
		case isReplaced(err):
			return api.Errorf(api.ErrorCodeConflict, "cannot delete %s: it was deleted and created anew since it was read; look at the new one first", object)
		case apierrors.IsNotFound(err) && !isNotServed(err):
			return api.Errorf(api.ErrorCodeNotFound, "cannot delete %s: it is gone already", object)
		}
		return err
	})
}

// thisOne deletes the object that was seen, and no later one of the same name.
func thisOne(uid types.UID) metav1.DeleteOptions {
	propagation := metav1.DeletePropagationBackground
	return metav1.DeleteOptions{PropagationPolicy: &propagation, Preconditions: &metav1.Preconditions{UID: &uid}}
}

// isReplaced tells that the object is another one than was meant. The API server has no reason of its own for that, and two
// ways to say it: "UID in precondition: …" and "the UID in the precondition (…)".
func isReplaced(err error) bool {
	return apierrors.IsConflict(err) && strings.Contains(err.Error(), "UID in ")
}
