package watch

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// definitionPoll is how often discovery is asked where CustomResourceDefinitions may not be watched.
const definitionPoll = 30 * time.Second

// definitionRetry is how long discovery is left alone after it failed.
const definitionRetry = 2 * time.Second

// echoes are the pauses after a change of a CustomResourceDefinition after which discovery is asked again: it learns of
// the change later than those who watch it, by several seconds where there are several API servers.
func echoes() []time.Duration {
	return []time.Duration{200 * time.Millisecond, 800 * time.Millisecond, 2 * time.Second, 7 * time.Second}
}

// definition follows in which versions the cluster serves a runtime's resource. The CustomResourceDefinition itself is
// watched by name and without its schema, which can be megabytes; that only tells that something changed, and discovery,
// which every user may read, tells what.
type definition struct {
	resource runtimes.Resource
	discover func(context.Context, runtimes.Resource) ([]string, error)
	// source watches the CustomResourceDefinition.
	source *source
	// served is called, always by the same goroutine, when the versions changed and when they are first known.
	served func(versions []string)
	// failed is called when they cannot be found out. What was known before still holds.
	failed func(error)
	notice chan struct{}
}

// changed asks for discovery to be asked.
func (d *definition) changed() {
	select {
	case d.notice <- struct{}{}:
	default:
	}
}

func (d *definition) run(ctx context.Context, back func() <-chan struct{}) {
	var known []string
	var sure bool
	var pending []time.Duration
	for {
		versions, err := d.discover(ctx, d.resource)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.failed(err)
		} else if !sure || !slices.Equal(versions, known) {
			known, sure = versions, true
			d.served(versions)
		}
		var wait time.Duration // 0: no news is no change
		switch {
		case err != nil:
			wait = definitionRetry
		case len(pending) > 0:
			wait, pending = pending[0], pending[1:]
		case d.source.document().State != api.SourceStateSynced:
			wait = definitionPoll
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.notice:
			pending = echoes()
		case <-back():
		case <-timer:
		}
	}
}

// discover returns the versions in which a resource is served, in the API server's order of preference; none where it is
// not.
func discover(client rest.Interface) func(context.Context, runtimes.Resource) ([]string, error) {
	return func(ctx context.Context, resource runtimes.Resource) ([]string, error) {
		var group metav1.APIGroup
		err := client.Get().AbsPath("/apis", resource.Group).Do(ctx).Into(&group)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var served []string
		for _, version := range group.Versions {
			var list metav1.APIResourceList
			err := client.Get().AbsPath("/apis", resource.Group, version.Version).Do(ctx).Into(&list)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource.Plural }) {
				served = append(served, version.Version)
			}
		}
		return served, nil
	}
}

// readable picks the version to watch: the first of those that the runtime can read and the cluster serves.
func readable(resource runtimes.Resource, served []string) (string, bool) {
	for _, version := range resource.Versions {
		if slices.Contains(served, version) {
			return version, true
		}
	}
	return "", false
}
