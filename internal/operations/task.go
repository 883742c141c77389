package operations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubefoundry/kubefoundry/api"
)

// Task is what an operation does.
type Task struct {
	Kind api.OperationKind
	// Namespace is that of a build. What concerns the cluster has none.
	Namespace string
	// Target is what it is done to. Of one target there is one operation at a time, whatever its kind.
	Target, Version string
	StartedBy       string
	// Steps are those that are known from the start, in order.
	Steps []string
	// Limit is how long it may take.
	Limit time.Duration
	// Run does it. It is safe to repeat, from wherever it was interrupted. When ctx ends it returns soon, having left
	// everything in a state that can be told; its cause is ErrCancelled where somebody wants it to end.
	Run func(ctx context.Context, p *Progress) error
}

func (t Task) part() string {
	if t.Namespace != "" {
		return PartBuild
	}
	return PartInstall
}

// Why a task's context ends.
var (
	ErrCancelled = errors.New("it was cancelled")
	ErrShutdown  = errors.New("the server ends")
	ErrLost      = errors.New("the cluster could not be told that it goes on")
	errDeleted   = errors.New("its ConfigMap was deleted")
	errTooLong   = errors.New("it took too long")
)

// Progress is how a task tells where it is. It is the task's own, and used by one goroutine at a time.
type Progress struct{ run *run }

// ID is the operation's.
func (p *Progress) ID() string { return p.run.id }

// Step does one step. One that was not announced is added.
func (p *Progress) Step(ctx context.Context, name string, do func(ctx context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	at := p.run.begin(name)
	err := do(ctx)
	if err != nil && context.Cause(ctx) != nil && !isKnown(err) {
		err = context.Cause(ctx)
	}
	p.run.end(at, err)
	return err
}

// isKnown tells that an error says more than that the context has ended.
func isKnown(err error) bool {
	_, ok := errors.AsType[*api.Error](err)
	return ok
}

// Say tells where the current step is.
func (p *Progress) Say(format string, args ...any) { p.run.say(fmt.Sprintf(format, args...)) }

// Conclude is what the operation says once it has succeeded.
func (p *Progress) Conclude(format string, args ...any) {
	p.run.change(func(r *run) { r.conclusion = cut(fmt.Sprintf(format, args...)) })
}

// Result is what came of it, as JSON. What is too large is left out.
func (p *Progress) Result(v any) {
	b, err := json.Marshal(v)
	if err != nil || len(b) > maxResult {
		return
	}
	p.run.change(func(r *run) { r.op.Result = b })
}

// CodeOf puts an error of a task into our words.
func CodeOf(err error) api.ErrorCode {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code
	}
	var answer apierrors.APIStatus
	var network net.Error
	switch {
	case errors.As(err, &answer):
		switch {
		case apierrors.IsForbidden(err):
			return api.ErrorCodeForbidden
		case apierrors.IsUnauthorized(err):
			return api.ErrorCodeUnauthenticated
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
			return api.ErrorCodeConflict
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			return api.ErrorCodeInvalidRequest
		case apierrors.IsNotFound(err):
			return api.ErrorCodeNotFound
		}
		return api.ErrorCodeUnavailable
	case errors.As(err, &network), errors.Is(err, errTooLong):
		return api.ErrorCodeUnavailable
	}
	return api.ErrorCodeInternal
}
