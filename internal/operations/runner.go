package operations

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/retry"

	"github.com/kubefoundry/kubefoundry/api"
)

// Options of a Runner.
type Options struct {
	// Client is the server's own. It keeps the ConfigMaps, and does nothing else.
	Client    kubernetes.Interface
	Namespace string
	Log       *zap.Logger
	// Lease is how long an operation may be without a sign of life; 30 s when zero.
	Lease time.Duration
	// Facts tells what is known of what an interrupted operation has left, for a person. It may be nil.
	Facts func(ctx context.Context, op api.Operation) string
}

// Runner runs operations, and looks after those that nobody runs any more.
type Runner struct {
	client    kubernetes.Interface
	namespace string
	log       *zap.Logger
	lease     time.Duration
	facts     func(ctx context.Context, op api.Operation) string
	process   string

	mu      sync.Mutex
	running map[string]*run
	closed  chan struct{}
}

// New makes a Runner. Run keeps order; Close ends what runs.
func New(o Options) *Runner {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &Runner{
		client: o.Client, namespace: o.Namespace, log: o.Log, lease: o.Lease, facts: o.Facts,
		process: string(uuid.NewUUID()), running: map[string]*run{}, closed: make(chan struct{}),
	}
}

func (r *Runner) objects() typed.ConfigMapInterface { return r.client.CoreV1().ConfigMaps(r.namespace) }

func (r *Runner) hurried() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// Close interrupts what runs, and returns when that is written.
func (r *Runner) Close() {
	r.mu.Lock()
	if !r.hurried() {
		close(r.closed)
	}
	var all []*run
	for _, one := range r.running {
		all = append(all, one)
	}
	r.mu.Unlock()
	for _, one := range all {
		one.stop(ErrShutdown)
	}
	for _, one := range all {
		<-one.done
	}
}

// tries is how often a write is tried that others get in the way of.
const tries = 10

// Start starts a task, unless one is at its target: then it returns that, where it does the same, and else an error with the
// code Conflict. started says which it was.
func (r *Runner) Start(ctx context.Context, task Task) (op api.Operation, started bool, err error) {
	target := slug(task.Target)
	for range tries {
		last, err := r.last(ctx, task.part(), task.Namespace, target)
		if err != nil {
			return api.Operation{}, false, err
		}
		if last.object != nil && !Over(last.op) {
			if last.op.Kind == task.Kind && last.op.Version == task.Version {
				return last.op, false, nil
			}
			return last.op, false, api.Errorf(api.ErrorCodeConflict, "%s of %s cannot start while %s of %s runs, as operation %s: wait for its end, or cancel it",
				task.Kind, task.Target, last.op.Kind, last.op.Target, last.op.Id)
		}
		op = api.Operation{
			Id: id(task.part(), task.Namespace, target, last.number+1), Kind: task.Kind, Target: task.Target, Namespace: task.Namespace, Version: task.Version,
			Phase: api.OperationPhasePending, Steps: []api.OperationStep{}, Message: "It is about to start", StartedBy: task.StartedBy, StartedAt: now(),
		}
		for _, name := range task.Steps[:min(len(task.Steps), maxSteps)] {
			op.Steps = append(op.Steps, api.OperationStep{Name: name, Phase: api.OperationPhasePending})
		}
		object := newObject(r.namespace, task.part(), task.Namespace, target, last.number+1)
		write(object, op)
		object.Data[dataRunner], object.Data[dataBeat] = r.process, time.Now().UTC().Format(time.RFC3339Nano)
		created, err := r.create(ctx, object)
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			return api.Operation{}, false, unkept(err)
		}
		r.launch(created, op, task) //nolint:contextcheck // it outlives the request
		return op, true, nil
	}
	return api.Operation{}, false, api.Errorf(api.ErrorCodeConflict, "%s of %s: others start operations on it all the time", task.Kind, task.Target)
}

func unkept(err error) error {
	if CodeOf(err) == api.ErrorCodeForbidden {
		return api.Errorf(api.ErrorCodeUnavailable, "this server may not keep operations in its own namespace; whoever installed it has to give it the rights of its Helm chart: %s", err)
	}
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return api.Errorf(api.ErrorCodeUnavailable, "operations cannot be kept in the cluster: %s", status.ErrStatus.Message)
	}
	return api.Errorf(api.ErrorCodeUnavailable, "operations cannot be read or kept, for the Kubernetes API does not answer; try again later")
}

// create makes the namespace too, where the server runs on somebody's own machine and has none yet.
func (r *Runner) create(ctx context.Context, object *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	created, err := r.objects().Create(ctx, object, metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) {
		return created, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}
	if _, err := r.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	return r.objects().Create(ctx, object, metav1.CreateOptions{})
}

func (r *Runner) launch(object *corev1.ConfigMap, op api.Operation, task Task) {
	limited, release := context.WithTimeoutCause(context.Background(), task.Limit, errTooLong)
	ctx, stop := context.WithCancelCause(limited)
	one := &run{
		runner: r, id: op.Id, log: r.log.With(zap.String("operation", op.Id)), stop: stop, done: make(chan struct{}), dirty: make(chan struct{}, 1),
		op: op, current: -1, object: object,
	}
	r.mu.Lock()
	r.running[op.Id] = one
	if r.hurried() {
		stop(ErrShutdown)
	}
	r.mu.Unlock()
	ended := make(chan error, 1)
	one.log.Info("operation starts", zap.String("kind", string(op.Kind)), zap.String("target", op.Target), zap.String("by", op.StartedBy))
	go func() { ended <- one.do(ctx, task) }()
	go func() {
		defer release()
		defer stop(nil)
		one.keep(ctx, ended)
		r.mu.Lock()
		delete(r.running, op.Id)
		r.mu.Unlock()
		end := one.snapshot()
		one.log.Info("operation ends", zap.String("phase", string(end.Phase)), zap.String("message", end.Message))
	}()
}

// Wait returns an operation as it is when it has ended, or when ctx ends. One that runs in another process is asked after.
func (r *Runner) Wait(ctx context.Context, id string) (api.Operation, error) {
	r.mu.Lock()
	one := r.running[id]
	r.mu.Unlock()
	if one != nil {
		select {
		case <-one.done:
		case <-ctx.Done():
		}
		return one.snapshot(), nil
	}
	for {
		op, err := r.Get(context.WithoutCancel(ctx), id)
		if err != nil || Over(op) {
			return op, err
		}
		select {
		case <-ctx.Done():
			return op, nil
		case <-time.After(time.Second):
		}
	}
}

// Get reads an operation from the cluster.
func (r *Runner) Get(ctx context.Context, id string) (api.Operation, error) {
	found, err := r.get(ctx, id)
	return found.op, err
}

func (r *Runner) get(ctx context.Context, id string) (record, error) {
	object, err := r.objects().Get(ctx, ObjectName(id), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return record{}, api.Errorf(api.ErrorCodeNotFound, "Operation not found: %s. Operations are forgotten after a week", id)
	}
	if err != nil {
		return record{}, unkept(err)
	}
	return read(object)
}

// Object is the ConfigMap that keeps an operation: whoever may delete it may cancel it.
func (r *Runner) Object(id string) (namespace, name string) { return r.namespace, ObjectName(id) }

// Cancel asks for an operation's end, wherever it runs.
func (r *Runner) Cancel(ctx context.Context, id, by string) (api.Operation, error) {
	var found record
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var err error
		if found, err = r.get(ctx, id); err != nil {
			return err
		}
		if Over(found.op) {
			return api.Errorf(api.ErrorCodeConflict, "Operation %s is over: %s", id, found.op.Phase)
		}
		object := found.object.DeepCopy()
		object.Data[dataCancel] = by
		_, err = r.objects().Update(ctx, object, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		if _, ok := errors.AsType[*api.Error](err); !ok {
			err = unkept(err)
		}
		return found.op, err
	}
	r.mu.Lock()
	one := r.running[id]
	r.mu.Unlock()
	if one != nil {
		one.cancelled(by)
	}
	found.op.CancelledBy = by
	return found.op, nil
}

// Last is the latest operation on a target, with an empty id where there is none.
func (r *Runner) Last(ctx context.Context, namespace, target string) (api.Operation, error) {
	found, err := r.last(ctx, Task{Namespace: namespace}.part(), namespace, slug(target))
	return found.op, err
}

func (r *Runner) last(ctx context.Context, part, namespace, target string) (record, error) {
	all, err := r.list(ctx, fmt.Sprintf("%s=%s,%s=%s", Label, part, labelTarget, target))
	if err != nil {
		return record{}, unkept(err)
	}
	var last record
	for _, one := range all {
		if one.op.Namespace == namespace && one.number > last.number {
			last = one
		}
	}
	return last, nil
}

func (r *Runner) list(ctx context.Context, selector string) ([]record, error) {
	objects, err := r.objects().List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	all := make([]record, 0, len(objects.Items))
	for i := range objects.Items {
		one, err := read(&objects.Items[i])
		if err != nil { // somebody wrote into it
			r.log.Warn("no operation", zap.Error(err))
			continue
		}
		all = append(all, one)
	}
	return all, nil
}
