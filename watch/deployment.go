package watch

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// deployment puts a deployment together from its custom resource, its pods and the warnings about either.
func (w *Watcher) deployment(key api.Key) outcome {
	parts := strings.SplitN(key.ID, "/", 3)
	if len(parts) != 3 {
		return outcome{}
	}
	namespace, name := parts[0], parts[2]
	rt := w.runtime(parts[1])
	if rt == nil {
		return outcome{}
	}
	if !rt.workloads.resolved(namespace) {
		return held()
	}
	object, ok := get[*workload](rt.workloads, namespace, name)
	if !ok {
		return outcome{}
	}
	if !w.pods.resolved(namespace) || !w.warnings.resolved(namespace) {
		return held()
	}
	pods := w.podsOf(rt, object)
	events := by[*corev1.Event](w.warnings, byObject, namespace, string(object.UID))
	for _, p := range pods {
		events = append(events, by[*corev1.Event](w.warnings, byObject, namespace, string(p.UID))...)
	}
	events = append(events, w.between(object, pods)...)
	doc := runtimes.Assemble(rt.Runtime, object.projection, pods, events)
	return outcome{doc: &doc}
}

// podsOf returns the deployment's pods by name.
func (w *Watcher) podsOf(rt *installed, object *workload) []*corev1.Pod {
	var out []*corev1.Pod
	for _, claim := range object.claims {
		for _, p := range by[*pod](w.pods, byClaim, object.Namespace, claim) {
			if ownerRuntime, owner := w.owner(p); ownerRuntime == rt && owner.Name == object.Name {
				out = append(out, p.kept)
			}
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b *corev1.Pod) bool { return a.Name == b.Name })
}

// owner returns the one deployment that a pod belongs to. Where several have one of its claims, which takes two custom
// resources that fight over a pod, it is the oldest.
func (w *Watcher) owner(p *pod) (*installed, *workload) {
	var ownerRuntime *installed
	var owner *workload
	for _, claim := range p.claims {
		for _, rt := range w.runtimes {
			for _, object := range by[*workload](rt.workloads, byClaim, p.Namespace, claim) {
				if owner == nil || object.CreationTimestamp.Time.Before(owner.CreationTimestamp.Time) {
					ownerRuntime, owner = rt, object
				}
			}
		}
	}
	return ownerRuntime, owner
}

// pod is the document of a pod that belongs to a deployment.
func (w *Watcher) pod(key api.Key) outcome {
	name := strings.TrimPrefix(key.ID, key.Namespace+"/")
	if !w.pods.resolved(key.Namespace) {
		return held()
	}
	p, ok := get[*pod](w.pods, key.Namespace, name)
	if !ok || p.claims == nil {
		return outcome{}
	}
	rt, owner := w.owner(p)
	if owner == nil {
		if !w.claimsResolved(p) {
			return held()
		}
		return outcome{}
	}
	doc := runtimes.PodDocument(rt.Runtime, api.DeploymentKey(owner.Namespace, rt.info.ID, owner.Name).ID, p.kept)
	return outcome{doc: &doc, pod: p}
}

// claimsResolved tells whether a deployment that the pod may belong to could still turn up in a first list.
func (w *Watcher) claimsResolved(p *pod) bool {
	for _, rt := range w.runtimes {
		prefix := claimKey(p.Namespace, rt.info.ID, "")
		if !rt.workloads.resolved(p.Namespace) &&
			slices.ContainsFunc(p.claims, func(claim string) bool { return strings.HasPrefix(claim, prefix) }) {
			return false
		}
	}
	return true
}
