package modelserver

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/devcluster/kubelet"
)

const (
	// window is the piece of time whose requests are made up together.
	window = 5 * time.Second
	// mostPerWindow is how many requests of a window are logged; busy servers
	// would else fill the screen.
	mostPerWindow = 3
	// settled is how long after its pod became ready a server says so. The pod's
	// status is here by then, so that a reader who follows misses nothing.
	settled = time.Second
	// crashShare is for how much of its time a run that ends badly says what a good one says.
	crashShare = 0.8
)

// Lines implements kubelet.Logs.
func (f *Fleet) Lines(_ context.Context, c kubelet.Container, after, until time.Time) (iter.Seq2[time.Time, string], error) {
	pod := f.named(c.Namespace, c.Pod)
	if pod == nil {
		return nil, fmt.Errorf("pod %s/%s: %w", c.Namespace, c.Pod, fs.ErrNotExist)
	}
	run, err := runOf(pod, c)
	if err != nil {
		return nil, err
	}
	run.model = modelOf(pod)
	if run.kind == dynamoFrontend || run.kind == rayHead {
		run.model, _ = f.serving(pod)
	}
	return func(yield func(time.Time, string) bool) {
		for at, text := range run.lines(after, until) {
			if at.After(after) && !at.After(until) && !yield(at, text) {
				return
			}
		}
	}, nil
}

// run is one life of one container, from start to end.
type run struct {
	pod   *corev1.Pod
	kind  kind
	model model
	start time.Time
	ready time.Time // zero: not yet, or never
	end   time.Time // zero: not yet
	bad   bool      // it ends, or will end, with an error
	oom   bool
}

// runOf finds the run that is asked for. A container that has not run yet is
// invalid to ask, one that the pod does not have does not exist.
func runOf(pod *corev1.Pod, c kubelet.Container) (run, error) {
	declared := slices.ContainsFunc(pod.Spec.Containers, func(d corev1.Container) bool { return d.Name == c.Name })
	if !declared {
		return run{}, fmt.Errorf("container %s in pod %s/%s: %w", c.Name, c.Namespace, c.Pod, fs.ErrNotExist)
	}
	r := run{pod: pod, kind: kindOf(pod)}
	i := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name })
	waiting := "ContainerCreating"
	if i >= 0 {
		status := pod.Status.ContainerStatuses[i]
		if w := status.State.Waiting; w != nil {
			waiting = w.Reason
		}
		last := status.LastTerminationState.Terminated
		switch {
		case c.Previous && last == nil:
			return run{}, fmt.Errorf("previous container %s in pod %s/%s: %w", c.Name, c.Namespace, c.Pod, fs.ErrNotExist)
		case c.Previous:
			return r.ended(last), nil
		case status.State.Running != nil:
			r.start = status.State.Running.StartedAt.Time
			r.ready = readySince(pod)
			return r, nil
		case status.State.Terminated != nil:
			return r.ended(status.State.Terminated), nil
		case last != nil:
			// Between two runs a kubelet shows the one before.
			return r.ended(last), nil
		}
	} else if c.Previous {
		return run{}, fmt.Errorf("previous container %s in pod %s/%s: %w", c.Name, c.Namespace, c.Pod, fs.ErrNotExist)
	}
	return run{}, notStartedError(fmt.Sprintf("container %q in pod %q is waiting to start: %s", c.Name, c.Pod, waiting))
}

// notStartedError is an fs.ErrInvalid in the words of a kubelet, which people read.
type notStartedError string

func (e notStartedError) Error() string { return string(e) }

// Is makes it an fs.ErrInvalid.
func (notStartedError) Is(target error) bool { return target == fs.ErrInvalid }

func (r run) ended(t *corev1.ContainerStateTerminated) run {
	r.start, r.end = t.StartedAt.Time, t.FinishedAt.Time
	r.bad, r.oom = t.ExitCode != 0, t.Reason == "OOMKilled"
	return r
}

func readySince(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// lines yields at least the lines of (after, until], oldest first.
func (r run) lines(after, until time.Time) iter.Seq2[time.Time, string] {
	return func(yield func(time.Time, string) bool) {
		script := scriptOf(r.kind)
		if !r.starting(script, yield) {
			return
		}
		if r.ready.IsZero() {
			return
		}
		open := r.ready.Add(settled)
		for i, text := range script.ready(r) {
			if !yield(open.Add(time.Duration(i)*time.Millisecond), text) {
				return
			}
		}
		// Windows are counted from the moment of readiness, so that every reader
		// finds the same ones.
		first := open.Add(window)
		if skip := after.Sub(first) / window; skip > 0 {
			first = first.Add(skip * window) //nolint:durationcheck // skip is a number of windows
		}
		for at := first; !at.After(until); at = at.Add(window) {
			if !r.working(script, at, yield) {
				return
			}
		}
	}
}

// starting yields what a server says until it is ready, or dies.
func (r run) starting(script script, yield func(time.Time, string) bool) bool {
	texts := script.start(r)
	// A pod may be ready the moment it starts; the lines of a start are then a
	// millisecond apart, and before everything else.
	span, last := r.span()
	for i, text := range texts {
		share := time.Duration(float64(span) * float64(i) / float64(len(texts)))
		at := r.start.Add(max(share, time.Duration(i)*time.Millisecond))
		if !yield(at, text) {
			return false
		}
	}
	if !r.bad {
		return true
	}
	last = later(last, r.start.Add(time.Duration(len(texts))*time.Millisecond))
	for i, text := range script.death(r) {
		if !yield(last.Add(time.Duration(i)*time.Microsecond), text) {
			return false
		}
	}
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// span is how long the start of a run takes, and when a bad one breaks. While
// nobody knows, it is the time that the simulated node will take.
func (r run) span() (time.Duration, time.Time) {
	if !r.end.IsZero() {
		return time.Duration(float64(r.end.Sub(r.start)) * crashShare), r.end.Add(-10 * time.Millisecond)
	}
	delay, err := time.ParseDuration(r.pod.Annotations[delayAnnotation])
	if err != nil {
		delay = defaultDelay
	}
	if r.pod.Annotations[behaviourAnnotation] != "slow" {
		delay = settled / 2
	}
	return delay, time.Time{}
}

// Annotations that say how a pod fares, and the delay of slow ones without one.
const (
	behaviourAnnotation = "devcluster.kubefoundry.io/behaviour"
	delayAnnotation     = "devcluster.kubefoundry.io/delay"
	defaultDelay        = 15 * time.Second
)

// working yields the lines of the window that begins at at.
func (r run) working(script script, at time.Time, yield func(time.Time, string) bool) bool {
	number := at.Sub(r.ready) / window
	chance := rand.New(rand.NewPCG(hashOf(string(r.pod.UID)), uint64(number))) //nolint:gosec // repeatable, not secret
	l := loadOf(r.pod, at)
	var entries []entry
	for range min(int(l.rate*window.Seconds()*chance.Float64()*2), mostPerWindow) {
		offset := time.Duration(chance.Int64N(int64(window)))
		entries = append(entries, entry{offset, script.request(r, at.Add(offset), chance)})
	}
	if number%2 == 0 {
		for _, text := range script.pulse(r, at, l) {
			entries = append(entries, entry{window - time.Millisecond, text})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return int(a.offset - b.offset) })
	for _, e := range entries {
		if e.text != "" && !yield(at.Add(e.offset), e.text) {
			return false
		}
	}
	return true
}

type entry struct {
	offset time.Duration
	text   string
}
