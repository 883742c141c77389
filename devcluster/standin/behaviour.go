package standin

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Annotations of a custom resource, or of the pod template in it, whose names
// begin like this say how its pods are to fare. They are copied to the pods,
// where the simulated nodes act on them.
const annotationPrefix = "devcluster.kubefoundry.io/"

const (
	// Behaviour is ready (the default), slow, stuck, crashloop, oomkilled or
	// imagepull.
	Behaviour = annotationPrefix + "behaviour"
	// Delay is how long a pod takes to become ready: a Go duration.
	Delay = annotationPrefix + "delay"
	// Model is what the pods of a Ray cluster serve, "<served name> <model id>".
	// Ray gets it over HTTP, so that no pod shows it; the stand-in writes it on the
	// pods for whoever answers in their name.
	Model = annotationPrefix + "model"
	// Hold is for the stand-in itself: how long a deleted custom resource keeps its
	// finalizer at least, a Go duration from the deletion.
	Hold = annotationPrefix + "hold"
)

// Bookkeeping of the stand-in on the pods that it makes.
const (
	slotAnnotation = annotationPrefix + "slot"
	hashAnnotation = annotationPrefix + "template"
	// fateAnnotation is what the pod was told about its behaviour, so that a
	// change of the custom resource reaches it and a change by hand stays.
	fateAnnotation = annotationPrefix + "fate"
)

// fateOf keeps the annotations that decide how a pod fares.
func fateOf(annotations map[string]string) map[string]string {
	fate := map[string]string{}
	for key, value := range annotations {
		if strings.HasPrefix(key, annotationPrefix) && key != Hold {
			fate[key] = value
		}
	}
	return fate
}

// inherit returns how the pods of a template fare: as the template says, and
// where it says nothing, as the custom resource does.
//
// A custom resource speaks for the pods that hold the model. Heads and frontends
// start fine when a model does not fit its GPU, so they follow only their template.
func inherit(template, resource map[string]string, holdsModel bool) map[string]string {
	fate := map[string]string{}
	if holdsModel {
		maps.Copy(fate, fateOf(resource))
	}
	maps.Copy(fate, fateOf(template))
	return fate
}

// withoutFate is the rest of a template's annotations.
func withoutFate(template map[string]string) map[string]string {
	rest := maps.Clone(template)
	maps.DeleteFunc(rest, func(key, _ string) bool { return strings.HasPrefix(key, annotationPrefix) })
	return rest
}

// fateText is a fate in one line, the same for the same fate.
func fateText(fate map[string]string) string {
	parts := make([]string, 0, len(fate))
	for key, value := range fate {
		parts = append(parts, strings.TrimPrefix(key, annotationPrefix)+"="+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// heldUntil is when a resource deleted at that time may go. An annotation that is
// no duration holds nothing.
func heldUntil(annotations map[string]string, deleted time.Time) time.Time {
	hold, err := time.ParseDuration(annotations[Hold])
	if err != nil {
		return deleted
	}
	return deleted.Add(hold)
}
