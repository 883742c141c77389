package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	defaultEvents = 100     // as in openapi.yaml
	eventsPage    = 500     // events in one answer of the Kubernetes API
	eventsRead    = 10_000  // events of a namespace that are looked at, at most
	ownersRead    = 32      // objects between pods and the custom resource that are looked up, at most
	ownersDeep    = 5       // steps from a pod to the custom resource, at most
	eventText     = 2 << 10 // bytes of a message
)

// ListDeploymentEvents is what Kubernetes has to say of a deployment: events of its custom resource, of its pods, and of what lies
// between them.
func (s *Server) ListDeploymentEvents(w http.ResponseWriter, r *http.Request, name api.Name, p api.ListDeploymentEventsParams) {
	document, err := s.deployment(r, name, p.Namespace, p.Runtime)
	var d api.Deployment
	if err == nil {
		if err = json.Unmarshal(document, &d); err != nil {
			err = fmt.Errorf("deployment %s: %w", name, err)
		}
	}
	var pods []api.Pod
	if err == nil {
		pods, err = s.podsOf(r, name, d.Namespace, d.Provider)
	}
	answer := api.DeploymentEvents{Events: []api.KubernetesEvent{}}
	if err == nil {
		err = s.asCaller(r.Context(), r, "read", "the events of deployment "+d.Id, func(ctx context.Context, config *rest.Config) error {
			config.QPS = -1
			family, hidden, err := familyOf(ctx, config, &d, pods)
			if err != nil {
				return err
			}
			answer.Message = hidden
			client, err := typed.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("client: %w", err)
			}
			answer.Events, answer.Truncated, err = eventsOf(ctx, client.Events(d.Namespace), family)
			return err
		})
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	limit := p.Limit
	if limit == 0 {
		limit = defaultEvents
	}
	if len(answer.Events) > limit {
		answer.Events, answer.Truncated = answer.Events[:limit], true
	}
	writeJSON(w, http.StatusOK, answer)
}

// relative is an object that belongs to a deployment.
type relative struct{ kind, name string }

// family is the objects of a deployment, with their uids where they are known: an object of the same name before it is none.
type family map[relative]types.UID

func (f family) includes(of corev1.ObjectReference) bool {
	uid, ok := f[relative{of.Kind, of.Name}]
	return ok && (uid == "" || of.UID == "" || uid == of.UID)
}

// familyOf finds the objects from a deployment's pods up to its custom resource. hidden says what the caller may not look at.
func familyOf(ctx context.Context, config *rest.Config, d *api.Deployment, pods []api.Pod) (found family, hidden string, err error) {
	found = family{{d.Resource.Kind, d.Name}: types.UID(d.Resource.Uid)}
	for _, pod := range pods {
		found[relative{"Pod", pod.Name}] = ""
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, "", fmt.Errorf("client: %w", err)
	}
	if len(pods) == 0 {
		return found, "", nil
	}
	list, err := client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(d.Namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if apierrors.IsForbidden(err) {
		return found, "Events of what lies between the custom resource and its pods are left out: " + words(err), nil
	}
	if err != nil {
		return nil, "", err
	}
	var owners []metav1.OwnerReference
	for i := range list.Items {
		if at := (relative{"Pod", list.Items[i].Name}); slices.ContainsFunc(pods, func(p api.Pod) bool { return p.Name == at.name }) {
			found[at] = list.Items[i].UID
			owners = append(owners, list.Items[i].OwnerReferences...)
		}
	}
	looked := 0
	for range ownersDeep {
		var next []metav1.OwnerReference
		for _, owner := range owners {
			at := relative{owner.Kind, owner.Name}
			if _, known := found[at]; known || looked == ownersRead {
				continue
			}
			looked++
			found[at] = owner.UID
			version, err := schema.ParseGroupVersion(owner.APIVersion)
			if err != nil {
				continue
			}
			resource, _ := meta.UnsafeGuessKindToResource(version.WithKind(owner.Kind))
			object, err := client.Resource(resource).Namespace(d.Namespace).Get(ctx, owner.Name, metav1.GetOptions{})
			switch {
			case apierrors.IsForbidden(err):
				hidden = "Events of what lies further up are left out: " + words(err)
			case apierrors.IsNotFound(err): // gone, or named in a way that cannot be guessed
			case err != nil:
				return nil, "", err
			default:
				next = append(next, object.OwnerReferences...)
			}
		}
		owners = next
	}
	return found, hidden, nil
}

// eventsOf are the events of a family, the newest first, each once. truncated says that the namespace has more than are looked at.
func eventsOf(ctx context.Context, client typed.EventInterface, of family) (events []api.KubernetesEvent, truncated bool, err error) {
	type same struct{ kind, name, category, reason, message string }
	known := map[same]*api.KubernetesEvent{}
	options := metav1.ListOptions{Limit: eventsPage}
	for read := 0; ; {
		page, err := client.List(ctx, options)
		if apierrors.IsResourceExpired(err) { // the rest is too old to be continued: what was read stands
			truncated = true
			break
		}
		if err != nil {
			return nil, false, err
		}
		for i := range page.Items {
			e := &page.Items[i]
			if !of.includes(e.InvolvedObject) {
				continue
			}
			one := eventTold(e)
			key := same{one.Object.Kind, one.Object.Name, one.Type, one.Reason, one.Message}
			if old := known[key]; old != nil {
				old.Count += one.Count
				if one.FirstSeen.Before(old.FirstSeen) {
					old.FirstSeen = one.FirstSeen
				}
				if one.LastSeen.After(old.LastSeen) {
					old.LastSeen = one.LastSeen
				}
				continue
			}
			known[key] = &one
		}
		read += len(page.Items)
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
		if read >= eventsRead {
			truncated = true
			break
		}
	}
	events = make([]api.KubernetesEvent, 0, len(known))
	for _, e := range known {
		events = append(events, *e)
	}
	slices.SortFunc(events, func(a, b api.KubernetesEvent) int {
		if c := b.LastSeen.Compare(a.LastSeen); c != 0 {
			return c
		}
		if a.Object.Name+a.Reason+a.Message < b.Object.Name+b.Reason+b.Message {
			return -1
		}
		return 1
	})
	return events, truncated, nil
}

// eventTold is one event, with the times and the count from wherever its writer puts them.
func eventTold(e *corev1.Event) api.KubernetesEvent {
	one := api.KubernetesEvent{
		Type: e.Type, Reason: e.Reason, Message: e.Message, Count: max(int(e.Count), 1),
		Object: api.KubernetesEventObject{Kind: e.InvolvedObject.Kind, Name: e.InvolvedObject.Name}, Source: e.Source.Component,
		FirstSeen: e.FirstTimestamp.Time, LastSeen: e.LastTimestamp.Time,
	}
	if one.Source == "" {
		one.Source = e.ReportingController
	}
	if len(one.Message) > eventText {
		one.Message = strings.ToValidUTF8(one.Message[:eventText], "") + "…"
	}
	if one.FirstSeen.IsZero() {
		one.FirstSeen = e.EventTime.Time
	}
	if one.FirstSeen.IsZero() {
		one.FirstSeen = e.CreationTimestamp.Time
	}
	if e.Series != nil {
		one.Count, one.LastSeen = max(int(e.Series.Count), one.Count), e.Series.LastObservedTime.Time
	}
	if one.LastSeen.Before(one.FirstSeen) {
		one.LastSeen = one.FirstSeen
	}
	return one
}
