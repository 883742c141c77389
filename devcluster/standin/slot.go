package standin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// slot is one place for a pod. A pod in it may die and be replaced; the slot
// stays until the deployment is scaled down.
type slot struct {
	id       string // unique among the pods of one resource, as "decode-3"
	prefix   string // of the pod's name
	stable   bool   // the name is prefix alone, as in a StatefulSet
	template *podTemplate
}

// podTemplate is what the pods of several slots have in common.
type podTemplate struct {
	corev1.PodTemplateSpec
	hash string
	// fate is not part of the hash: it changes on a living pod.
	fate map[string]string
}

// newTemplate makes the template of pods whose custom resource is annotated like
// owner. Its own annotations may say how they fare too.
func newTemplate(labels, annotations, owner map[string]string, holdsModel bool, spec corev1.PodSpec) *podTemplate {
	t := &podTemplate{
		PodTemplateSpec: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: withoutFate(annotations)}, Spec: spec,
		},
		fate: inherit(annotations, owner, holdsModel),
	}
	text, err := json.Marshal(t.PodTemplateSpec)
	if err != nil {
		// Every value in it came from JSON.
		panic(fmt.Sprintf("pod template: %v", err))
	}
	t.hash = shortHash(10, string(text))
	return t
}

// shortHash is a name part of n letters and digits, at most 32, the same for the
// same parts.
func shortHash(n int, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	// Kubernetes' own letters for such names: no vowels, so that no word comes
	// out by chance.
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	name := make([]byte, n)
	for i := range name {
		name[i] = letters[int(sum[i])%len(letters)]
	}
	return string(name)
}

// podName is the name of the next pod in a slot. It depends on the pod before it,
// if that one still shows, so that a replacement gets a name of its own, while two
// reconciles with the same view of the cluster choose the same name.
func (s slot) podName(owner metav1.OwnerReference, before *corev1.Pod) string {
	if s.stable {
		return s.prefix
	}
	predecessor := ""
	if before != nil {
		predecessor = string(before.UID)
	}
	return s.prefix + shortHash(5, string(owner.UID), s.id, s.template.hash, predecessor)
}

// pod makes the pod of a slot.
func (s slot) pod(owner metav1.OwnerReference, namespace, name string) *corev1.Pod {
	template := s.template.PodTemplateSpec.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name, pod.Namespace = name, namespace
	pod.OwnerReferences = []metav1.OwnerReference{owner}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	maps.Copy(pod.Annotations, s.template.fate)
	pod.Annotations[fateAnnotation] = fateText(s.template.fate)
	pod.Annotations[slotAnnotation] = s.id
	pod.Annotations[hashAnnotation] = s.template.hash
	return pod
}

// fill brings the pods of one resource to its slots: it creates what is missing,
// deletes what is too many, and replaces pods of an older template one by one,
// those that are not ready first.
func (c *cluster) fill(ctx context.Context, owner metav1.OwnerReference, namespace string, slots []slot, pods []*corev1.Pod) error {
	plan := planPods(owner, namespace, slots, pods)
	for _, pod := range plan.create {
		_, err := c.core.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("pod %s/%s: create: %w", namespace, pod.Name, err)
		}
	}
	for _, turn := range plan.turn {
		if err := c.turn(ctx, turn.pod, turn.fate); err != nil {
			return err
		}
	}
	return c.deletePods(ctx, plan.remove)
}

// turn gives a living pod another fate.
func (c *cluster) turn(ctx context.Context, pod *corev1.Pod, fate map[string]string) error {
	annotations := map[string]any{fateAnnotation: fateText(fate)}
	for key := range fateOf(pod.Annotations) {
		if key != slotAnnotation && key != hashAnnotation && key != fateAnnotation {
			annotations[key] = nil
		}
	}
	for key, value := range fate {
		annotations[key] = value
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	_, err = c.core.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, body, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("pod %s/%s: annotate: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

func (c *cluster) deletePods(ctx context.Context, pods []*corev1.Pod) error {
	for _, pod := range pods {
		uid := pod.UID
		err := c.core.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("pod %s/%s: delete: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

// podPlan is what [cluster.fill] does.
type podPlan struct {
	create []*corev1.Pod
	remove []*corev1.Pod
	turn   []podTurn
}

type podTurn struct {
	pod  *corev1.Pod
	fate map[string]string
}

func planPods(owner metav1.OwnerReference, namespace string, slots []slot, pods []*corev1.Pod) podPlan {
	var plan podPlan
	live, leaving := map[string]*corev1.Pod{}, map[string]*corev1.Pod{}
	wanted := make(map[string]slot, len(slots))
	for _, s := range slots {
		wanted[s.id] = s
	}
	for _, pod := range pods {
		id := pod.Annotations[slotAnnotation]
		_, want := wanted[id]
		switch {
		case pod.DeletionTimestamp != nil:
			leaving[id] = pod
		case !want, live[id] != nil, pod.Status.Phase == corev1.PodFailed, pod.Status.Phase == corev1.PodSucceeded:
			plan.remove = append(plan.remove, pod)
			leaving[id] = pod
		default:
			live[id] = pod
		}
	}
	settled := true
	var outdated []*corev1.Pod
	for _, s := range slots {
		pod := live[s.id]
		if pod == nil {
			settled = false
			if before := leaving[s.id]; before == nil || !s.stable {
				plan.create = append(plan.create, s.pod(owner, namespace, s.podName(owner, before)))
			}
			continue
		}
		ready := podReady(pod)
		settled = settled && ready
		if pod.Annotations[hashAnnotation] == s.template.hash {
			if pod.Annotations[fateAnnotation] != fateText(s.template.fate) {
				plan.turn = append(plan.turn, podTurn{pod, s.template.fate})
			}
			continue
		}
		if ready {
			outdated = append(outdated, pod)
		} else {
			plan.remove = append(plan.remove, pod)
		}
	}
	if settled && len(outdated) > 0 {
		plan.remove = append(plan.remove, outdated[0])
	}
	return plan
}
