package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A small universe of cells. Sights of one server all speak of the same classes: those that its rules name.
var (
	someClasses = []Class{
		{Kind: KindDeployments, Part: "kaito"},
		{Kind: KindDeployments, Part: "dynamo"},
		{Kind: KindDeployments, Part: "kuberay"},
		{Kind: KindPods},
		{Kind: KindNodes},
	}
	someNamespaces = []string{"ml", "chat", "a\nb", `a" "b`, "", "ml chat"}
)

func drawSight(t *rapid.T, label string) map[Class]SightOf {
	classes := map[Class]SightOf{}
	for _, class := range someClasses {
		classes[class] = SightOf{
			All:        rapid.IntRange(0, 3).Draw(t, label+" all") == 0,
			Namespaces: rapid.SliceOfN(rapid.SampledFrom(someNamespaces), 0, 4).Draw(t, label+" namespaces"),
			Needs:      "list " + string(class.Kind) + class.Part,
		}
	}
	return classes
}

// shows is every cell of the universe that a sight includes. A namespace that no sight names tells "all" from "all of these".
func shows(s *Sight) string {
	var b strings.Builder
	for _, class := range someClasses {
		for _, namespace := range append(slices.Clone(someNamespaces), "named by nobody") {
			fmt.Fprint(&b, s.Includes(Cell{class, namespace}), " ")
		}
	}
	return b.String()
}

// TestSightsWithOneNameShowTheSame, and those with different names do not: what is kept under a name is safe, and shared as
// widely as it can be.
func TestSightsWithOneNameShowTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := drawSight(t, "one"), drawSight(t, "other")
		for class, of := range one { // often nearly the same, where drawn apart they hardly ever are
			if rapid.IntRange(0, 4).Draw(t, "keep") > 0 {
				other[class] = of
			}
		}
		a, b := NewSight(one), NewSight(other)
		require.Equal(t, shows(a) == shows(b), a.Name() == b.Name(), "%v\n%v", one, other)
		require.NotEqual(t, Everything().Name(), a.Name())
		require.NotEqual(t, (*Sight)(nil).Name(), a.Name())
		for class, of := range one {
			for _, namespace := range append(slices.Clone(someNamespaces), "named by nobody") {
				require.Equal(t, of.All || slices.Contains(of.Namespaces, namespace), a.Includes(Cell{class, namespace}))
			}
		}
		require.False(t, a.Includes(Cell{Class{Kind: KindCapacity}, ""}), "a class that was left out")
		require.False(t, a.Includes(Cell{Class{Kind: KindDeployments}, "ml"}), "nor a runtime that nobody knows")
	})
}

// TestASightDoesNotDependOnOrder of what it is made of, nor changes with it afterwards.
func TestASightDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		classes := drawSight(t, "one")
		before := NewSight(classes)
		shown := shows(before)
		shuffled := map[Class]SightOf{}
		for _, class := range rapid.Permutation(slices.Collect(maps.Keys(classes))).Draw(t, "classes") {
			of := classes[class]
			of.Namespaces = append(rapid.Permutation(of.Namespaces).Draw(t, "namespaces"), of.Namespaces...) // named twice is named
			shuffled[class] = of
		}
		after := NewSight(shuffled)
		require.Equal(t, before.Name(), after.Name())
		require.Equal(t, shown, shows(after))
		for class := range classes {
			of := classes[class]
			for i := range of.Namespaces {
				of.Namespaces[i] = "changed"
			}
			classes[class] = SightOf{All: true}
		}
		require.Equal(t, shown, shows(before))
	})
}

// TestAccessTellsHowMuchIsSeen of each kind, by the same cells.
func TestAccessTellsHowMuchIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSight(drawSight(t, "sight"))
		for _, kind := range []Kind{KindDeployments, KindPods, KindNodes} {
			var of []Class
			for _, class := range someClasses {
				if class.Kind == kind {
					of = append(of, class)
				}
			}
			some, all := false, true
			whole := []string{}
			for _, namespace := range append(slices.Clone(someNamespaces), "named by nobody") {
				visible := 0
				for _, class := range of {
					if s.Includes(Cell{class, namespace}) {
						visible++
					}
				}
				some, all = some || visible > 0, all && visible == len(of)
				if visible == len(of) && namespace != "named by nobody" {
					whole = append(whole, namespace)
				}
			}
			access := s.Access(kind)
			require.Equal(t, all, access == nil, "%s", kind)
			require.Equal(t, all, s.IncludesAll(kind))
			if all {
				continue
			}
			require.NotEmpty(t, access.Message)
			if !some {
				require.Equal(t, AccessLevelNone, access.Level)
				require.Empty(t, access.Namespaces)
				require.Contains(t, access.Message, "list "+string(kind))
				continue
			}
			require.Equal(t, AccessLevelSome, access.Level)
			slices.Sort(whole)
			require.ElementsMatch(t, whole, access.Namespaces)
		}
	})
	for _, kind := range Kinds() {
		require.Nil(t, Everything().Access(kind))
		require.Equal(t, AccessLevelNone, (*Sight)(nil).Access(kind).Level)
	}
}

// TestAccessListsNamespacesUpToALimit, for the list is in every answer.
func TestAccessListsNamespacesUpToALimit(t *testing.T) {
	var many []string
	for i := range 3 * maxNamespaces {
		many = append(many, fmt.Sprintf("n%03d", i))
	}
	access := NewSight(map[Class]SightOf{{Kind: KindPods}: {Namespaces: many}}).Access(KindPods)
	require.Equal(t, many[:maxNamespaces], access.Namespaces)
}
