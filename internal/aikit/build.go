package aikit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/logs"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

// Steps of a build.
const (
	stepRegistry = "Look for the registry"
	stepJob      = "Start the build"
	stepPod      = "Wait for a node"
	stepBuild    = "Build and push the image"
)

const (
	look         = time.Second      // between two looks at a Job
	podTime      = 2 * time.Minute  // within which a Job has to have a pod
	setupTime    = 2 * time.Minute  // within which the registry has to be ready
	deletionTime = 30 * time.Second // within which a Job that is in the way has to be gone
	taskTime     = deadline*time.Second + 15*time.Minute
)

// Result is what came of a build.
type Result struct {
	ImageRef  string  `json:"imageRef"`
	BuildTime float64 `json:"buildTime"` // seconds
}

// Task builds an image in a namespace, into the registry in KubeFoundry's own. config is the caller's.
func Task(config *rest.Config, s Spec, namespace, own, startedBy string) (operations.Task, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Timeout = -1, 0
	config.WarningHandlerWithContext = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return operations.Task{}, fmt.Errorf("client: %w", err)
	}
	b := &build{Spec: s, client: client, namespace: namespace, own: own, push: pushRegistry(own) + "/" + s.Image(), look: look}
	return operations.Task{
		Kind: api.OperationKindBuild, Namespace: namespace, Target: s.Image(), Version: s.source(), StartedBy: startedBy,
		Steps: []string{stepRegistry, stepJob, stepPod, stepBuild}, Limit: taskTime, Run: b.run,
	}, nil
}

// build is one build under way.
type build struct {
	Spec
	client         kubernetes.Interface
	namespace, own string
	push           string
	look           time.Duration
}

func (b *build) run(ctx context.Context, p *operations.Progress) (err error) {
	began := time.Now()
	defer func() {
		if errors.Is(context.Cause(ctx), operations.ErrCancelled) {
			// Whoever ends the operation ends the Job. Where only this process ends, the Job goes on.
			if gone := b.remove(context.WithoutCancel(ctx)); gone != nil {
				err = api.Errorf(operations.CodeOf(gone), "the Job %s/%s may go on, for it cannot be deleted: %s", b.namespace, b.jobName(b.push), gone)
			}
		}
	}()
	if err := p.Step(ctx, stepRegistry, func(ctx context.Context) error { return b.registry(ctx, p) }); err != nil {
		return err
	}
	if err := p.Step(ctx, stepJob, func(ctx context.Context) error { return b.start(ctx, p) }); err != nil {
		return err
	}
	var pod string
	if err := p.Step(ctx, stepPod, func(ctx context.Context) (err error) {
		pod, err = b.pod(ctx, p)
		return err
	}); err != nil {
		return err
	}
	if err := p.Step(ctx, stepBuild, func(ctx context.Context) error { return b.watch(ctx, p, pod) }); err != nil {
		return err
	}
	p.Result(Result{b.Ref(), time.Since(began).Seconds()})
	p.Conclude("The image is %s", b.Ref())
	return nil
}

func (b *build) registry(ctx context.Context, p *operations.Progress) error {
	status, err := RegistryStatus(ctx, b.client, b.own)
	if err != nil || status.Ready {
		return err
	}
	p.Say("%s; it is being made", status.Message)
	bound, cancel := context.WithTimeout(ctx, setupTime)
	defer cancel()
	if status, err = Setup(bound, b.client, b.own); err == nil && !status.Ready && ctx.Err() == nil {
		err = api.Errorf(api.ErrorCodeUnavailable, "the registry is not ready: look at the pods of Deployment %s in namespace %s", RegistryName, b.own)
	}
	return err
}

// start makes the Job, unless it is there and runs or has succeeded.
func (b *build) start(ctx context.Context, p *operations.Progress) error {
	jobs := b.client.BatchV1().Jobs(b.namespace)
	wanted := b.job(b.namespace, b.push)
	until := time.Now().Add(deletionTime)
	for {
		made, err := jobs.Create(ctx, wanted, metav1.CreateOptions{})
		if err == nil {
			p.Say("Job %s/%s", made.Namespace, made.Name)
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("job: %w", err)
		}
		found, err := jobs.Get(ctx, wanted.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return fmt.Errorf("job: %w", err)
		case found.Labels[labelBuild] != wanted.Labels[labelBuild]:
			return api.Errorf(api.ErrorCodeConflict, "there is a Job %s/%s that is no build; delete it, or choose another name for the image", found.Namespace, found.Name)
		case found.DeletionTimestamp == nil && !isTrue(found, batchv1.JobFailed):
			p.Say("Job %s/%s is there already", found.Namespace, found.Name)
			return nil
		case found.DeletionTimestamp == nil:
			if err := b.remove(ctx); err != nil {
				return err
			}
		case time.Now().After(until):
			return api.Errorf(api.ErrorCodeConflict, "the Job %s/%s of an earlier build is not gone yet", found.Namespace, found.Name)
		}
		if err := b.pause(ctx); err != nil {
			return err
		}
	}
}

func (b *build) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deletionTime)
	defer cancel()
	background := metav1.DeletePropagationBackground
	err := b.client.BatchV1().Jobs(b.namespace).Delete(ctx, b.jobName(b.push), metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("job: %w", err)
	}
	return nil
}

func (b *build) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(b.look):
		return nil
	}
}

// pod waits for the Job's pod to run; it returns none where the Job has ended and its pod is gone.
func (b *build) pod(ctx context.Context, p *operations.Progress) (string, error) {
	until := time.Now().Add(podTime)
	for {
		job, err := b.current(ctx)
		if err != nil {
			return "", err
		}
		if isTrue(job, batchv1.JobComplete) {
			return "", nil
		}
		pods, err := b.client.CoreV1().Pods(b.namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job.Name})
		if err != nil {
			return "", fmt.Errorf("pods: %w", err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if pod.Status.Phase != corev1.PodPending || isTrue(job, batchv1.JobFailed) {
				return pod.Name, nil
			}
			p.Say("Pod %s: %s", pod.Name, waitsFor(pod))
		}
		if isTrue(job, batchv1.JobFailed) {
			return "", failedJob(job, nil)
		}
		if len(pods.Items) == 0 {
			why := b.refusal(ctx, job)
			if why != "" {
				p.Say("%s", why)
			}
			if time.Now().After(until) {
				return "", api.Errorf(api.ErrorCodeUnavailable, "the Job %s/%s has no pod: %s", job.Namespace, job.Name, cmp.Or(why, "nobody says why; look at its events"))
			}
		}
		if err := b.pause(ctx); err != nil {
			return "", err
		}
	}
}

// current is the Job. One that is not there any more was deleted by somebody.
func (b *build) current(ctx context.Context) (*batchv1.Job, error) {
	job, err := b.client.BatchV1().Jobs(b.namespace).Get(ctx, b.jobName(b.push), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, api.Errorf(api.ErrorCodeConflict, "somebody deleted the Job %s/%s", b.namespace, b.jobName(b.push))
	}
	if err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	return job, nil
}

// waitsFor is what a pod waits for that has not begun.
func waitsFor(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			return c.Message
		}
	}
	return "it has not begun"
}

// refusal is why the Job's pod cannot be made: a quota, or a rule of the namespace that forbids what rootless BuildKit needs.
func (b *build) refusal(ctx context.Context, job *batchv1.Job) string {
	events, err := b.client.CoreV1().Events(b.namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{"involvedObject.uid": string(job.UID), "reason": "FailedCreate"}.String(), Limit: 20,
	})
	if err != nil || len(events.Items) == 0 { // whoever may build need not have the right to read events
		return ""
	}
	return events.Items[len(events.Items)-1].Message
}

// watch tells what the build says until the Job has ended.
func (b *build) watch(ctx context.Context, p *operations.Progress, pod string) error {
	said := &lastWords{}
	following, stop := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	if pod != "" {
		reading.Go(func() { b.follow(following, pod, said) })
	}
	told := ""
	for {
		job, err := b.current(ctx)
		switch {
		case err != nil:
			return err
		case isTrue(job, batchv1.JobComplete):
			return nil
		case isTrue(job, batchv1.JobFailed):
			waiting := make(chan struct{})
			go func() { defer close(waiting); reading.Wait() }()
			select { // its last words may be on their way
			case <-waiting:
			case <-time.After(3 * b.look):
			}
			return failedJob(job, said.lines())
		}
		if now := said.last(); now != told {
			told = now
			p.Say("%s", now)
		}
		if err := b.pause(ctx); err != nil {
			return err
		}
	}
}

// follow reads the log of the build as long as there is one. Whoever may build need not have the right to read it.
func (b *build) follow(ctx context.Context, pod string, said *lastWords) {
	since := time.Time{}
	for ctx.Err() == nil {
		err := logs.Follow(ctx, b.client.CoreV1(), logs.Request{Namespace: b.namespace, Pod: pod, Container: container, Since: since}, func(lines []logs.Line) error {
			for _, line := range lines {
				said.add(line.Text)
				if line.Time.After(since) {
					since = line.Time
				}
			}
			return nil
		})
		if err == nil || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || b.pause(ctx) != nil {
			return
		}
	}
}

// lastWords are the last lines of a log.
type lastWords struct {
	mu   sync.Mutex
	kept []string
}

func (l *lastWords) add(line string) {
	line = strings.TrimSpace(line)
	if line == "" {
		return
	}
	if len(line) > 400 {
		line = strings.ToValidUTF8(line[:400], "") + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = append(l.kept, line); len(l.kept) > 5 {
		l.kept = l.kept[1:]
	}
}

func (l *lastWords) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) == 0 {
		return ""
	}
	return l.kept[len(l.kept)-1]
}

func (l *lastWords) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.kept...)
}

func isTrue(job *batchv1.Job, kind batchv1.JobConditionType) bool {
	for _, c := range job.Status.Conditions {
		if c.Type == kind && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func failedJob(job *batchv1.Job, said []string) error {
	why := ""
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobFailed {
			why = strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	if len(said) > 0 {
		why += ". Its last words: " + strings.Join(said, "\n")
	}
	return api.Errorf(api.ErrorCodeInternal, "the Job %s/%s failed: %s", job.Namespace, job.Name, why)
}
