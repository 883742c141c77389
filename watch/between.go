package watch

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// Between a custom resource and its pods stand objects that its operator made: a StatefulSet that a quota forbids to make
// pods says so in a warning about itself. Those objects are not watched, which would take rights and memory. Whose they are is
// known in two exact ways: pods name their owner by its uid, and operators name what they make first like the custom resource,
// or as its status says, which is among the claims. A name that only starts alike is not enough.

// betweenKinds are what operators put between.
var betweenKinds = []string{
	"StatefulSet", "ReplicaSet", "Deployment", "LeaderWorkerSet", "RayCluster", "PodCliqueSet", "PodClique", "PodCliqueScalingGroup", "Job",
}

const claimKind = "PersistentVolumeClaim"

const (
	byTie  = "tie"  // pods: uid of their owners, and claims of volumes that they mount
	byName = "name" // custom resources, and warnings about what stands between: namespace/name
)

func isBetween(kind string) bool { return slices.Contains(betweenKinds, kind) }

func volumeKey(namespace, claim string) string { return claimKind + "/" + namespace + "/" + claim }

// ties are what a pod hangs on: its owners, and the volumes that it waits for.
func ties(p *corev1.Pod) []string {
	if p == nil {
		return nil
	}
	var all []string
	for i := range p.OwnerReferences {
		all = append(all, string(p.OwnerReferences[i].UID))
	}
	for i := range p.Spec.Volumes {
		if claim := p.Spec.Volumes[i].PersistentVolumeClaim; claim != nil {
			all = append(all, volumeKey(p.Namespace, claim.ClaimName))
		}
	}
	return all
}

func podTies(object any) ([]string, error) {
	if p, ok := object.(*pod); ok {
		return ties(p.kept), nil
	}
	return nil, nil
}

// stripVolumes keeps the claims that a pod mounts, those that are made for it included.
func stripVolumes(p *corev1.Pod) []corev1.Volume {
	var kept []corev1.Volume
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		var name string
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = p.Name + "-" + v.Name
		default:
			continue
		}
		kept = append(kept, corev1.Volume{Name: v.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	return kept
}

// names are those that what an operator makes first for a custom resource can have: the resource's own, and those of its claims.
func (w *workload) names() []string {
	all := []string{w.Namespace + "/" + w.Name}
	for _, claim := range w.projection.Claims {
		if name := w.Namespace + "/" + claim[strings.LastIndexByte(claim, '/')+1:]; name != all[0] {
			all = append(all, name)
		}
	}
	return all
}

func workloadNames(object any) ([]string, error) {
	if w, ok := object.(*workload); ok {
		return w.names(), nil
	}
	return nil, nil
}

// eventTies are the names that a warning about something between, or about a volume, is found by.
func eventTies(object any) ([]string, error) {
	e, ok := object.(*corev1.Event)
	if !ok {
		return nil, nil
	}
	switch about := &e.InvolvedObject; {
	case about.Kind == claimKind:
		return []string{volumeKey(about.Namespace, about.Name)}, nil
	case isBetween(about.Kind):
		return []string{about.Namespace + "/" + about.Name}, nil
	}
	return nil, nil
}

// between returns the warnings about what stands between a custom resource and its pods.
func (w *Watcher) between(object *workload, pods []*corev1.Pod) []*corev1.Event {
	var events []*corev1.Event
	seen := map[string]bool{}
	add := func(index, value string) {
		if value == "" || seen[index+value] {
			return
		}
		seen[index+value] = true
		for _, event := range by[*corev1.Event](w.warnings, index, object.Namespace, value) {
			if about := &event.InvolvedObject; (about.Kind == claimKind || isBetween(about.Kind)) && !seen["event"+event.Name] {
				seen["event"+event.Name] = true
				events = append(events, event)
			}
		}
	}
	for _, name := range object.names() {
		add(byName, name)
	}
	for _, p := range pods {
		for _, tie := range ties(p) {
			if strings.HasPrefix(tie, claimKind+"/") {
				add(byName, tie)
			} else {
				add(byObject, tie)
			}
		}
	}
	return events
}

// betweenChanged queues the deployments that a warning about something between, or about a volume, can tell of.
func (w *Watcher) betweenChanged(about *corev1.ObjectReference, c cause) {
	tie := string(about.UID)
	if about.Kind == claimKind {
		tie = volumeKey(about.Namespace, about.Name)
	} else {
		for _, rt := range w.runtimes {
			for _, owner := range by[*workload](rt.workloads, byName, about.Namespace, about.Namespace+"/"+about.Name) {
				w.queue.add(api.DeploymentKey(owner.Namespace, rt.info.ID, owner.Name), c)
			}
		}
	}
	for _, p := range by[*pod](w.pods, byTie, about.Namespace, tie) {
		w.claimsChanged(about.Namespace, p.claims, c)
	}
}
