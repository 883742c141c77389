package runtimes

import (
	"maps"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// Scaling collects the changes of a Scale.
type Scaling struct {
	check    Check
	replicas map[string]int
	changes  []Change
}

// NewScaling refuses roles that there are none of.
func NewScaling(replicas map[string]int, roles ...string) *Scaling {
	s := &Scaling{replicas: replicas}
	for _, role := range slices.Sorted(maps.Keys(replicas)) {
		n := replicas[role]
		s.check.Range("roles."+role, &n, 0, maxReplicas)
		if !slices.Contains(roles, role) {
			s.check.Refuse("roles."+role, "cannot be scaled; there are %s", strings.Join(roles, ", "))
		}
	}
	return s
}

// Wanted is how many replicas a role is to have.
func (s *Scaling) Wanted(role string) (int, bool) {
	n, ok := s.replicas[role]
	return n, ok
}

// Refuse notes why a role cannot be scaled.
func (s *Scaling) Refuse(role, format string, args ...any) {
	s.check.Refuse("roles."+role, format, args...)
}

// Set makes the field at a path the number of a role's replicas, if that is asked for.
func (s *Scaling) Set(obj any, role string, path ...any) {
	if n, ok := s.replicas[role]; ok {
		s.Change(obj, int64(n), path...)
	}
}

// Change gives the field at a path another value.
func (s *Scaling) Change(obj, to any, path ...any) {
	was := at(obj, path)
	if was == to {
		return
	}
	s.changes = append(s.changes, Change{Path: path, Was: was, To: to})
}

// Done returns the changes, none where anything is refused.
func (s *Scaling) Done() ([]Change, []api.ErrorDetail) {
	if len(s.check.Details) > 0 {
		return nil, s.check.Details
	}
	return s.changes, nil
}

func at(value any, path []any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := value.(map[string]any)
			value = m[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

// Apply makes the changes in a copy of an object, as the API server will.
func Apply(obj map[string]any, changes []Change) map[string]any {
	var set func(value any, path []any, to any) any
	set = func(value any, path []any, to any) any {
		if len(path) == 0 {
			return to
		}
		switch step := path[0].(type) {
		case string:
			m, _ := value.(map[string]any)
			m = maps.Clone(m)
			if m == nil {
				m = map[string]any{}
			}
			m[step] = set(m[step], path[1:], to)
			return m
		case int:
			list, _ := value.([]any)
			list = slices.Clone(list)
			if step < len(list) {
				list[step] = set(list[step], path[1:], to)
			}
			return list
		}
		return value
	}
	for _, change := range changes {
		obj, _ = set(obj, change.Path, change.To).(map[string]any)
	}
	return obj
}
