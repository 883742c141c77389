package watch

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// collection is one resource: a source for all namespaces, or one for each namespace that the installation is limited to.
// The sources are made once; only their stores come and go.
type collection []*source

// in returns the source that covers a namespace, nil where none does.
func (c collection) in(namespace string) *source {
	for _, s := range c {
		if s.namespace == "" || s.namespace == namespace {
			return s
		}
	}
	return nil
}

// resolved tells whether what is known of a namespace is all there is, or all that can be had.
func (c collection) resolved(namespace string) bool {
	s := c.in(namespace)
	return s == nil || s.resolved.Load()
}

// allResolved tells it of all namespaces.
func (c collection) allResolved() bool {
	return !slices.ContainsFunc(c, func(s *source) bool { return !s.resolved.Load() })
}

// get returns an object by name, the zero value where there is none.
func get[T any](c collection, namespace, name string) (object T, ok bool) {
	s := c.in(namespace)
	if s == nil {
		return object, false
	}
	store := s.indexer()
	if store == nil {
		return object, false
	}
	key := name
	if namespace != "" {
		key = namespace + "/" + name
	}
	found, exists, err := store.GetByKey(key)
	if err != nil || !exists {
		return object, false
	}
	object, ok = found.(T)
	return object, ok
}

// by returns the objects of a namespace that an index holds under a value, ordered by name.
func by[T metav1.Object](c collection, index, namespace, value string) []T {
	s := c.in(namespace)
	if s == nil {
		return nil
	}
	store := s.indexer()
	if store == nil {
		return nil
	}
	found, err := store.ByIndex(index, value)
	if err != nil {
		return nil
	}
	return ordered[T](found)
}

// all returns every object, ordered by namespace and name.
func all[T metav1.Object](c collection) []T {
	var found []any
	for _, s := range c {
		if store := s.indexer(); store != nil {
			found = append(found, store.List()...)
		}
	}
	return ordered[T](found)
}

func ordered[T metav1.Object](found []any) []T {
	out := make([]T, 0, len(found))
	for _, object := range found {
		if o, ok := object.(T); ok {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return out
}
