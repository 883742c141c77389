package standin

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Times between two events about the same trouble of one pod. A kubelet starts
// at ten seconds and ends at five minutes.
const (
	firstEventAfter = 10 * time.Second
	lastEventAfter  = 5 * time.Minute
	// eventsPerSecond bounds what a thousand broken pods cost.
	eventsPerSecond = 20
)

// kubeletEvents writes the Events that kubelets write about pods in trouble,
// which simulated nodes do not. Counts rise slowly, as there.
type kubeletEvents struct {
	*cluster
	queue workqueue.TypedDelayingInterface[string]
	limit *rate.Limiter
	// told holds how often each pod's trouble was told. Only run touches it.
	told map[string]int
}

func newKubeletEvents(c *cluster) (*kubeletEvents, error) {
	e := &kubeletEvents{
		cluster: c,
		queue:   workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Name: "kubelet-events"}),
		limit:   rate.NewLimiter(eventsPerSecond, eventsPerSecond),
		told:    map[string]int{},
	}
	_, err := c.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: e.see,
		UpdateFunc: func(before, after any) {
			// Only a new trouble is news; the queue keeps up with old ones.
			if b, ok := before.(*corev1.Pod); ok && troubleOf(b).reason == troubleOf(after.(*corev1.Pod)).reason {
				return
			}
			e.see(after)
		},
		DeleteFunc: e.see,
	})
	if err != nil {
		return nil, fmt.Errorf("kubelet events: %w", err)
	}
	return e, nil
}

func (e *kubeletEvents) see(obj any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
		e.queue.Add(key)
	}
}

func (e *kubeletEvents) run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		e.queue.ShutDown()
	}()
	for {
		key, quit := e.queue.Get()
		if quit {
			return
		}
		again, err := e.tell(ctx, key)
		if err != nil && ctx.Err() == nil && !expected(err) {
			e.log.Warn("event", "pod", key, "error", err)
		}
		e.queue.Done(key)
		if again > 0 {
			e.queue.AddAfter(key, again)
		}
	}
}

// trouble is what a kubelet would say about a pod at this moment.
type trouble struct {
	reason string // of the pod's state; empty means none
	texts  []told
}

type told struct {
	kind    string // of the event: Normal or Warning
	reason  string
	message string
}

func troubleOf(pod *corev1.Pod) trouble {
	if pod.DeletionTimestamp != nil || pod.Spec.NodeName == "" {
		return trouble{}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil && !c.Ready {
			return trouble{"Unhealthy", []told{{corev1.EventTypeWarning, "Unhealthy", "Readiness probe failed: connection refused"}}}
		}
		if c.State.Waiting == nil {
			continue
		}
		switch reason := c.State.Waiting.Reason; reason {
		case "CrashLoopBackOff":
			return trouble{reason, []told{{corev1.EventTypeWarning, "BackOff", fmt.Sprintf(
				"Back-off restarting failed container %s in pod %s_%s(%s)", c.Name, pod.Name, pod.Namespace, pod.UID)}}}
		case "ErrImagePull", "ImagePullBackOff":
			return trouble{"ImagePullBackOff", []told{
				{corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: manifest unknown", c.Image)},
				{corev1.EventTypeWarning, "Failed", "Error: " + reason},
				{corev1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.Image)},
			}}
		}
	}
	return trouble{}
}

// tell writes the events of a pod's trouble and says when to do so again.
func (e *kubeletEvents) tell(ctx context.Context, key string) (time.Duration, error) {
	obj, exists, err := e.pods.GetStore().GetByKey(key)
	if err != nil || !exists {
		delete(e.told, key)
		return 0, err
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return 0, nil
	}
	t := troubleOf(pod)
	if t.reason == "" {
		delete(e.told, key)
		return 0, nil
	}
	e.told[key]++
	times := e.told[key]
	for _, text := range t.texts {
		if err := e.limit.Wait(ctx); err != nil {
			return 0, err
		}
		if err := e.write(ctx, pod, text, times); err != nil {
			return firstEventAfter, err
		}
	}
	return min(firstEventAfter<<min(times-1, 10), lastEventAfter), nil
}

// write creates the event of a text, or counts it up.
func (e *kubeletEvents) write(ctx context.Context, pod *corev1.Pod, text told, times int) error {
	now := metav1.Now()
	events := e.core.CoreV1().Events(pod.Namespace)
	name := pod.Name + "." + shortHash(16, string(pod.UID), text.reason, text.message)
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: pod.Namespace},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
		},
		Type: text.kind, Reason: text.reason, Message: text.message,
		Source:         corev1.EventSource{Component: "kubelet", Host: pod.Spec.NodeName},
		FirstTimestamp: now, LastTimestamp: now, Count: int32(min(times, 1<<20)),
		ReportingController: "kubelet", ReportingInstance: pod.Spec.NodeName,
	}
	_, err := events.Create(ctx, event, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	have, err := events.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	have.Count++
	have.LastTimestamp = now
	_, err = events.Update(ctx, have, metav1.UpdateOptions{})
	return err
}
