package api

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Class is the documents that one right opens: those of a kind, or of a part of it. Deployments have a part for each runtime,
// which has a resource of its own in Kubernetes; operations have two, named as their ids begin.
type Class struct {
	Kind Kind
	Part string
}

// Cell is the documents of a class in one namespace; without one, those that belong to none.
type Cell struct {
	Class
	Namespace string
}

// Cell is the one that a document of this key lies in.
func (k Key) Cell() Cell {
	c := Cell{Class{Kind: k.Kind}, k.Namespace}
	switch k.Kind {
	case KindDeployments: // namespace/runtime/name
		_, rest, _ := strings.Cut(k.ID, "/")
		c.Part, _, _ = strings.Cut(rest, "/")
	case KindOperations: // install/name, build/namespace/name
		c.Part, _, _ = strings.Cut(k.ID, "/")
	default:
	}
	return c
}

// Sight is which documents a caller may see. It is immutable, and looks at keys only, by their cells: no document enters or
// leaves it. The nil Sight sees nothing.
//
// What is made for one caller may be shown to another if both have the same sight, and to nobody else: whoever keeps an
// answer keeps it under the sight's name.
type Sight struct {
	name    string
	all     bool
	classes map[Class]sightOfClass
}

type sightOfClass struct {
	all        bool
	namespaces map[string]struct{}
	needs      string
}

// Everything is the sight of those for whom nothing is hidden, such as the server itself. Its name is empty.
func Everything() *Sight { return &everything }

var everything = Sight{all: true}

// SightOf is what a sight shows of a class. Needs says which rights open the class, as in "list nodes".
type SightOf struct {
	All        bool
	Namespaces []string // where not All
	Needs      string
}

// NewSight makes a sight. Classes that are left out are hidden.
func NewSight(classes map[Class]SightOf) *Sight {
	s := &Sight{classes: make(map[Class]sightOfClass, len(classes))}
	digest := sha256.New()
	for _, class := range slices.SortedFunc(maps.Keys(classes), func(a, b Class) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Part, b.Part))
	}) {
		of := classes[class]
		shown := sightOfClass{all: of.All, needs: of.Needs}
		if !of.All {
			shown.namespaces = make(map[string]struct{}, len(of.Namespaces))
			for _, namespace := range of.Namespaces {
				shown.namespaces[namespace] = struct{}{}
			}
		}
		s.classes[class] = shown
		// No part of it can hold a line break, so equal texts mean equal sights.
		fmt.Fprintf(digest, "%s\n%s\n%t\n%q\n", class.Kind, class.Part, of.All, slices.Sorted(maps.Keys(shown.namespaces)))
	}
	s.name = hex.EncodeToString(digest.Sum(nil)[:maxSightLength/2])
	return s
}

// Name is the same for sights that show the same, and different for others.
func (s *Sight) Name() string {
	if s == nil {
		return "nothing"
	}
	return s.name
}

// Includes tells whether the documents of a cell may be seen.
func (s *Sight) Includes(c Cell) bool {
	if s == nil || s.all {
		return s != nil
	}
	of := s.classes[c.Class]
	if of.all {
		return true
	}
	_, ok := of.namespaces[c.Namespace]
	return ok
}

// IncludesAll tells whether every document of a kind may be seen, those to come included, of the classes that the sight
// knows.
func (s *Sight) IncludesAll(kind Kind) bool {
	if s == nil || s.all {
		return s != nil
	}
	known := false
	for class, of := range s.classes {
		if class.Kind == kind {
			if !of.all {
				return false
			}
			known = true
		}
	}
	return known
}

// maxNamespaces is how many an Access lists.
const maxNamespaces = 100

// Access tells a caller how much of a kind they may see, nil where it is everything.
func (s *Sight) Access(kind Kind) *Access {
	if s.IncludesAll(kind) {
		return nil
	}
	var needs []string
	whole := map[string]int{} // classes that may be seen in a namespace
	open, classes := 0, 0
	if s != nil {
		for class, of := range s.classes {
			if class.Kind != kind {
				continue
			}
			classes++
			if of.all {
				open++
			} else if of.needs != "" {
				needs = append(needs, of.needs)
			}
			for namespace := range of.namespaces {
				whole[namespace]++
			}
		}
	}
	slices.Sort(needs)
	a := &Access{Level: AccessLevelNone}
	right := "this needs a right that nobody has"
	if len(needs) > 0 {
		right = "this needs the right to " + strings.Join(slices.Compact(needs), ", or to ")
	}
	if open == 0 && len(whole) == 0 {
		a.Message = fmt.Sprintf("You may see no %s: %s.", kind, right)
		return a
	}
	a.Level = AccessLevelSome
	for namespace, n := range whole {
		if n+open == classes {
			a.Namespaces = append(a.Namespaces, namespace)
		}
	}
	slices.Sort(a.Namespaces)
	a.Namespaces = a.Namespaces[:min(len(a.Namespaces), maxNamespaces)]
	a.Message = fmt.Sprintf("You may see only some %s. For others %s.", kind, right)
	return a
}

// Namespaces are those whose documents of a class may be seen, where it is not all.
func (s *Sight) Namespaces(c Class) []string {
	if s == nil {
		return nil
	}
	return slices.Collect(maps.Keys(s.classes[c].namespaces))
}
