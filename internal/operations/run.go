package operations

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// run is an operation that runs in this process. Two goroutines are at it: the task, and keep, which writes.
type run struct {
	runner *Runner
	id     string
	log    *zap.Logger
	stop   context.CancelCauseFunc
	done   chan struct{} // closed when the end is written, or cannot be
	dirty  chan struct{}

	mu         sync.Mutex
	op         api.Operation
	current    int // step, -1 between steps
	conclusion string

	object *corev1.ConfigMap // as last written; keep's own
	gone   bool              // somebody deleted it; keep's own
}

// How often what a task tells is written.
const pace = 250 * time.Millisecond

// change changes the document, and has it written.
func (r *run) change(f func(*run)) {
	r.mu.Lock()
	f(r)
	r.mu.Unlock()
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

func (r *run) snapshot() api.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := r.op
	op.Steps = slices.Clone(op.Steps)
	return op
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func (r *run) begin(name string) (at int) {
	r.change(func(r *run) {
		at = slices.IndexFunc(r.op.Steps, func(s api.OperationStep) bool { return s.Name == name && s.Phase == api.OperationPhasePending })
		if at < 0 && len(r.op.Steps) < maxSteps {
			// Behind what was done, before what is to come.
			at = slices.IndexFunc(r.op.Steps, func(s api.OperationStep) bool { return s.Phase == api.OperationPhasePending })
			if at < 0 {
				at = len(r.op.Steps)
			}
			r.op.Steps = slices.Insert(r.op.Steps, at, api.OperationStep{Name: name})
		}
		if at >= 0 {
			r.op.Steps[at].Phase, r.op.Steps[at].StartedAt = api.OperationPhaseRunning, now()
		}
		r.current, r.op.Phase, r.op.Message = at, api.OperationPhaseRunning, name
	})
	return at
}

func (r *run) say(message string) {
	r.change(func(r *run) {
		if r.current >= 0 {
			r.op.Steps[r.current].Message = cut(message)
			r.op.Message = cut(r.op.Steps[r.current].Name + ": " + message)
		} else {
			r.op.Message = cut(message)
		}
	})
}

func (r *run) end(at int, err error) {
	r.change(func(r *run) {
		r.current = -1
		if at < 0 {
			return
		}
		step := &r.op.Steps[at]
		step.FinishedAt, step.Phase = now(), api.OperationPhaseSucceeded
		if err != nil {
			step.Phase = phaseOf(err)
			step.Message = cut(err.Error())
		}
		r.count()
	})
}

func (r *run) count() {
	finished := 0
	for _, s := range r.op.Steps {
		if s.Phase == api.OperationPhaseSucceeded {
			finished++
		}
	}
	if len(r.op.Steps) > 0 {
		r.op.Progress = float64(finished*1000/len(r.op.Steps)) / 1000
	}
}

// phaseOf is how something ended.
func phaseOf(err error) api.OperationPhase {
	switch {
	case err == nil:
		return api.OperationPhaseSucceeded
	case errors.Is(err, ErrCancelled), errors.Is(err, errDeleted):
		return api.OperationPhaseCancelled
	case errors.Is(err, ErrShutdown), errors.Is(err, ErrLost):
		return api.OperationPhaseInterrupted
	}
	return api.OperationPhaseFailed
}

// do runs the task and returns how it ended.
func (r *run) do(ctx context.Context, task Task) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			r.log.Error("task panics", zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
			err = api.Errorf(api.ErrorCodeInternal, "it failed by a fault of this server, which is in its log")
		}
	}()
	err = task.Run(ctx, &Progress{r})
	if cause := context.Cause(ctx); err != nil && cause != nil && !isKnown(err) {
		err = cause
	}
	return err
}

// finish puts the end of the operation into its document.
func (r *run) finish(cause, err error) {
	r.change(func(r *run) {
		phase := phaseOf(err)
		if err != nil && phase == api.OperationPhaseFailed && cause != nil { // it says more than that its context ended
			phase = phaseOf(cause)
		}
		r.op.Phase, r.op.FinishedAt = phase, now()
		for i := range r.op.Steps {
			if r.op.Steps[i].Phase == api.OperationPhaseRunning {
				r.op.Steps[i].Phase, r.op.Steps[i].FinishedAt = phase, r.op.FinishedAt
			}
		}
		at := r.op.Message
		switch phase {
		case api.OperationPhaseSucceeded:
			r.op.Progress, r.op.Message = 1, r.conclusion
			if r.conclusion == "" {
				r.op.Message = "Done"
			}
		case api.OperationPhaseCancelled:
			r.op.Message = cut(endedAt("Cancelled", at, err))
		case api.OperationPhaseInterrupted:
			r.op.Message = cut(endedAt("Interrupted, for "+reason(cause, err), at, err) + ". Start it again: it goes on from what is there")
		default:
			r.op.Code, r.op.Message = CodeOf(err), cut(err.Error())
			if errors.Is(err, errTooLong) {
				r.op.Message = cut(endedAt("It took too long", at, err))
			}
		}
	})
}

func reason(cause, err error) string {
	if cause != nil {
		return cause.Error()
	}
	return err.Error()
}

func endedAt(how, at string, err error) string {
	if at != "" {
		how += " at: " + at
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		how += ". " + e.Message
	}
	return how
}

// keep writes what the task tells until it has ended, and then how.
func (r *run) keep(ctx context.Context, ended <-chan error) {
	defer close(r.done)
	beat := time.NewTicker(r.runner.lease / 10)
	defer beat.Stop()
	renewed := time.Now()
	var hurry <-chan time.Time
	stopping := ctx.Done()
	for {
		select {
		case err := <-ended:
			r.finish(context.Cause(ctx), err)
			r.writeEnd() //nolint:contextcheck // ctx is the task's, and over
			return
		case <-hurry: // the process ends; the task may take longer than that
			r.finish(ErrShutdown, ErrShutdown)
			r.writeEnd() //nolint:contextcheck // ctx is the task's, and over
			return
		case <-stopping:
			stopping = nil
			if errors.Is(context.Cause(ctx), ErrShutdown) {
				hurry = time.After(hurryTime)
			}
			continue
		case <-r.dirty:
			time.Sleep(pace) // several changes in one write
		case <-beat.C:
		}
		err := r.write() //nolint:contextcheck // ctx is the task's
		if errors.Is(err, errChanged) {
			err = r.write() //nolint:contextcheck // ctx is the task's
		}
		if err == nil {
			renewed = time.Now()
		} else if time.Since(renewed) > r.runner.lease*2/3 {
			r.log.Warn("operation stops: it cannot be renewed", zap.Error(err))
			r.stop(ErrLost)
		}
	}
}

// hurryTime is how long a task has to end when the process does.
const hurryTime = 3 * time.Second

var errOver = errors.New("another process has declared it over")

// write writes the document as it is now, with a sign of life. It may be called again after an error.
func (r *run) write() error {
	if r.gone {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.runner.lease/3)
	defer cancel()
	object := r.object.DeepCopy()
	write(object, r.snapshot())
	object.Data[dataBeat] = time.Now().UTC().Format(time.RFC3339Nano)
	written, err := r.runner.objects().Update(ctx, object, metav1.UpdateOptions{})
	switch {
	case err == nil:
		r.object = written
		return nil
	case apierrors.IsNotFound(err):
		r.gone = true
		r.stop(errDeleted)
		return nil
	case !apierrors.IsConflict(err):
		return fmt.Errorf("operation %s: %w", r.id, err)
	}
	return r.reread(ctx)
}

// reread takes over what somebody else has written: a wish to cancel, or that it is over.
func (r *run) reread(ctx context.Context) error {
	found, err := r.runner.objects().Get(ctx, r.object.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && found.UID != r.object.UID {
		r.gone = true
		r.stop(errDeleted)
		return nil
	}
	if err != nil {
		return fmt.Errorf("operation %s: %w", r.id, err)
	}
	r.object = found
	if by := found.Data[dataCancel]; by != "" {
		r.cancelled(by)
	}
	if theirs, ok := Decode(found); ok && Over(theirs) && !Over(r.snapshot()) {
		r.stop(ErrLost)
		return errOver
	}
	return fmt.Errorf("operation %s: %w", r.id, errChanged)
}

var errChanged = errors.New("it was changed by another process")

func (r *run) cancelled(by string) {
	r.change(func(r *run) { r.op.CancelledBy = by })
	r.stop(ErrCancelled)
}

// writeEnd writes the end, however long the API server is away, as long as this process lives.
func (r *run) writeEnd() {
	deadline := time.Now().Add(endTime)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := r.write()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || r.runner.hurried() && time.Now().After(deadline.Add(hurryTime-endTime)) {
			r.log.Warn("the end of an operation cannot be written", zap.Error(err))
			return
		}
		if errors.Is(err, errChanged) || errors.Is(err, errOver) {
			continue
		}
		time.Sleep(wait)
	}
}

// endTime is how long a process tries to write how an operation ended.
const endTime = 5 * time.Minute
