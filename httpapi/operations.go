package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/operations"
	"github.com/kubefoundry/kubefoundry/view"
)

// blockingTime is how long a request waits for an operation: a little less than clients do that know nothing of operations.
const blockingTime = 9*time.Minute + 30*time.Second

// ListOperations is those that the caller may see, the newest first.
func (s *Server) ListOperations(w http.ResponseWriter, r *http.Request, p api.ListOperationsParams) {
	page, err := s.view.List(view.Query{Kind: api.KindOperations, Sight: sight(r), Namespace: p.Namespace})
	if err == nil && unknown(page) {
		err = notSynced(api.KindOperations, page.State)
	}
	list := api.OperationList{Operations: []api.Operation{}, Cursor: page.Cursor.String(), State: page.State}
	for _, document := range page.Documents {
		var op api.Operation
		if err == nil {
			err = json.Unmarshal(document, &op)
		}
		list.Operations = append(list.Operations, op)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	slices.SortFunc(list.Operations, func(a, b api.Operation) int { return b.StartedAt.Compare(a.StartedAt) })
	writeJSON(w, http.StatusOK, list)
}

// GetOperation is one that concerns the cluster.
func (s *Server) GetOperation(w http.ResponseWriter, r *http.Request, name api.Name) {
	s.getOperation(w, r, "", operations.PartInstall+"/"+name)
}

// GetBuildOperation is one that builds something in a namespace.
func (s *Server) GetBuildOperation(w http.ResponseWriter, r *http.Request, namespace api.NamespaceInPath, name api.Name) {
	s.getOperation(w, r, namespace, operations.PartBuild+"/"+namespace+"/"+name)
}

// CancelOperation ends one that concerns the cluster.
func (s *Server) CancelOperation(w http.ResponseWriter, r *http.Request, name api.Name) {
	s.cancelOperation(w, r, "", operations.PartInstall+"/"+name)
}

// CancelBuildOperation ends one that builds something in a namespace.
func (s *Server) CancelBuildOperation(w http.ResponseWriter, r *http.Request, namespace api.NamespaceInPath, name api.Name) {
	s.cancelOperation(w, r, namespace, operations.PartBuild+"/"+namespace+"/"+name)
}

func (s *Server) getOperation(w http.ResponseWriter, r *http.Request, namespace, id string) {
	op, err := s.operation(r, namespace, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, op)
}

var errNoOperations = api.Errorf(api.ErrorCodeUnavailable, "this server runs no operations")

// operation is one that the caller may see: by their rights, or because they started it. It is read from the cluster, for the
// one that a caller was just told of may not be in the view yet.
func (s *Server) operation(r *http.Request, namespace, id string) (api.Operation, error) {
	if s.operations == nil {
		return api.Operation{}, errNoOperations
	}
	shown := sight(r).Includes(api.OperationKey(namespace, id).Cell())
	op, err := s.operations.Get(r.Context(), id)
	if shown || err == nil && op.StartedBy == from(r).caller.Name() {
		return op, err
	}
	if e, ok := errors.AsType[*api.Error](err); err == nil || ok && e.Code == api.ErrorCodeNotFound { // which of the two is not theirs to know
		message := "You may not see operation " + id
		if access := sight(r).Access(api.KindOperations); access != nil {
			message += ". " + access.Message
		}
		err = api.Errorf(api.ErrorCodeForbidden, "%s", message)
	}
	return api.Operation{}, err
}

func (s *Server) cancelOperation(w http.ResponseWriter, r *http.Request, namespace, id string) {
	op, err := s.operation(r, namespace, id)
	if err == nil && op.StartedBy != from(r).caller.Name() {
		of, name := s.operations.Object(id)
		err = s.mustBeAllowed(r, "cancel", "operation "+id, authorizationv1.ResourceAttributes{Namespace: of, Verb: "delete", Resource: "configmaps", Name: name})
	}
	if err == nil {
		op, err = s.operations.Cancel(r.Context(), id, from(r).caller.Name())
	}
	s.record(r, "cancel", "operation "+id, err)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeOperation(w, op)
}

// mustBeAllowed asks the API server whether the caller has rights, all of them, before anything is begun that needs them.
func (s *Server) mustBeAllowed(r *http.Request, verb, object string, rights ...authorizationv1.ResourceAttributes) error {
	return s.asCaller(r.Context(), r, verb, object, func(ctx context.Context, config *rest.Config) error {
		client, err := authorization.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		for _, right := range rights {
			review, err := client.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right},
			}, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			if !review.Status.Allowed {
				needed := right.Verb + " " + right.Resource
				if right.Group != "" {
					needed += "." + right.Group
				}
				if right.Namespace != "" {
					needed += " in the namespace " + right.Namespace
				}
				return api.Errorf(api.ErrorCodeForbidden, "cannot %s %s: this needs the right to %s", verb, object, needed)
			}
		}
		return nil
	})
}

func writeOperation(w http.ResponseWriter, op api.Operation) {
	w.Header().Set("Location", "/api/operations/"+op.Id)
	writeJSON(w, http.StatusAccepted, op)
}

// operate starts an operation. Clients that know of operations get it at once; others wait for what came of it, or for the
// news that it goes on.
func (s *Server) operate(w http.ResponseWriter, r *http.Request, task operations.Task, prefer api.Prefer, answer func(api.Operation) any) {
	op, started, err := s.operations.Start(context.WithoutCancel(r.Context()), task)
	if started || err != nil {
		s.record(r, string(task.Kind), task.Target, err)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if asynchronous(prefer) {
		writeOperation(w, op)
		return
	}
	// For longer than a body may take to come, and an answer to be taken.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // unsupported only in tests without a connection
	_ = control.SetWriteDeadline(time.Now().Add(blockingTime + answerTime))
	ctx, cancel := context.WithTimeout(r.Context(), blockingTime)
	defer cancel()
	op, err = s.operations.Wait(ctx, op.Id)
	if err == nil && operations.Over(op) && op.Phase != api.OperationPhaseSucceeded {
		err = failed(op)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer(op))
}

// asynchronous reads the header Prefer, a list of tokens with parameters.
func asynchronous(prefer string) bool {
	return slices.ContainsFunc(strings.Split(prefer, ","), func(one string) bool {
		token, _, _ := strings.Cut(one, ";")
		return strings.EqualFold(strings.TrimSpace(token), "respond-async")
	})
}

// failed is an operation that did not succeed, as an error of the request that waited for it.
func failed(op api.Operation) error {
	code := op.Code
	switch {
	case op.Phase == api.OperationPhaseCancelled:
		code = api.ErrorCodeConflict
	case op.Phase == api.OperationPhaseInterrupted:
		code = api.ErrorCodeUnavailable
	case code == "":
		code = api.ErrorCodeInternal
	}
	step := ""
	for _, one := range op.Steps {
		if one.Phase == op.Phase {
			step = fmt.Sprintf(" at step %q", one.Name)
		}
	}
	return api.Errorf(code, "%s of %s: %s%s: %s", op.Kind, op.Target, op.Phase, step, op.Message)
}

// stepResults are an operation's steps, in the shape of answers that know no operations.
func stepResults(op api.Operation) []api.StepResult {
	all := make([]api.StepResult, 0, len(op.Steps))
	for _, step := range op.Steps {
		one := api.StepResult{Step: step.Name, Chart: step.Name, Success: step.Phase == api.OperationPhaseSucceeded, Output: step.Message}
		if step.Phase == api.OperationPhaseFailed {
			one.Output, one.Error = "", step.Message
		}
		all = append(all, one)
	}
	return all
}

// runningOn is the id of the operation that is at a target now, of those that the caller may see.
func (s *Server) runningOn(r *http.Request, target string) string {
	page, err := s.view.List(view.Query{Kind: api.KindOperations, Sight: sight(r)})
	if err != nil {
		return ""
	}
	for _, document := range page.Documents {
		var op api.Operation
		if json.Unmarshal(document, &op) == nil && op.Target == target && op.Namespace == "" && !operations.Over(op) {
			return op.Id
		}
	}
	return ""
}
