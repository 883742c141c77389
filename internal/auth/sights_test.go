package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

// judge answers access reviews and keeps them.
type judge struct {
	mu      sync.Mutex
	allowed map[question]bool
	err     error
	takes   time.Duration
	asked   []question
}

func (j *judge) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	j.mu.Lock()
	right := Right{Verb: a.GetVerb(), Group: a.GetAPIGroup(), Resource: a.GetResource(), Name: a.GetName()}
	q := question{right, a.GetNamespace()}
	j.asked = append(j.asked, q)
	allowed, err, takes := j.allowed[q], j.err, j.takes
	j.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return authorizer.DecisionDeny, "", ctx.Err()
		}
	}
	switch {
	case err != nil:
		return authorizer.DecisionAllow, "", err // an error counts, whatever is said beside it
	case allowed:
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// take returns the questions since the last call, in order.
func (j *judge) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	texts := []string{}
	for _, q := range j.asked {
		texts = append(texts, strings.TrimSpace(fmt.Sprintf("%s %s %s in %s", q.right.Verb, q.right.Resource, q.right.Name, q.namespace)))
	}
	j.asked = nil
	slices.Sort(texts)
	return texts
}

// allow sets what may be done, as right and namespace.
func (j *judge) allow(questions ...question) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.allowed = map[question]bool{}
	for _, q := range questions {
		j.allowed[q] = true
	}
}

// places is where documents lie.
type places struct {
	mu      sync.Mutex
	cells   []api.Cell
	version uint64
}

func (p *places) Cells() ([]api.Cell, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.cells), p.version
}

func (p *places) CellsVersion() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

func (p *places) set(cells ...api.Cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cells = cells
	p.version++
}

var (
	listPods  = Right{Verb: "list", Resource: "pods"}
	listWorks = Right{Verb: "list", Group: "kaito.sh", Resource: "workspaces"}
	listNodes = Right{Verb: "list", Resource: "nodes"}
	kaito     = api.Class{Kind: api.KindDeployments, Part: "kaito"}
	podsClass = api.Class{Kind: api.KindPods}
)

// rules are of each sort: two rights in the namespace, one, one that is for whole clusters, and one to an object.
var rules = Rights{
	kaito:                      {namespaced(listWorks), namespaced(listPods)},
	podsClass:                  {namespaced(listPods)},
	{Kind: api.KindNodes}:      {listNodes},
	{Kind: api.KindAutoscaler}: {{Verb: "get", Resource: "configmaps", Namespace: "kube-system", Name: "status"}},
	{Kind: api.KindCapacity}:   nil,
}

func namespaced(r Right) Right {
	r.Namespaced = true
	return r
}

func newJudged(cells ...api.Cell) (*judge, *places, *sights) {
	j, p := &judge{}, &places{cells: cells}
	return j, p, newSights(rules, p, &reviews{authorizer.AuthorizerFunc(j.Authorize)})
}

func jane(groups ...string) *Caller {
	return newCaller(&user.DefaultInfo{Name: "jane", Groups: groups}, api.MeViaToken, "")
}

// first are the questions about whole clusters, which come first of all.
var first = []string{"get configmaps status in kube-system", "list nodes  in", "list pods  in", "list workspaces  in"}

func TestEachRightIsAskedAboutOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, p, s := newJudged(api.Cell{Class: kaito, Namespace: "a"}, api.Cell{Class: podsClass, Namespace: "a"}, api.Cell{Class: podsClass, Namespace: "b"}, api.Cell{Class: api.Class{Kind: api.KindNodes}})
		j.takes = time.Second
		j.allow(question{listPods, "a"}, question{listWorks, "a"})
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				if g, err := s.grant(t.Context(), jane()); err != nil || !g.Sight.Includes(api.Cell{Class: kaito, Namespace: "a"}) {
					t.Errorf("%v %v", g, err)
				}
			})
		}
		callers.Wait()
		narrow := func(more ...string) []string {
			return slices.Sorted(slices.Values(slices.Concat(first, more)))
		}
		require.Equal(t, narrow("list pods  in a", "list pods  in b", "list workspaces  in a"), j.take())

		_, err := s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Empty(t, j.take(), "nothing within the validity")

		p.set(append(p.cells, api.Cell{Class: podsClass, Namespace: "c"})...)
		g, err := s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, uint64(1), g.Cells)
		require.Equal(t, []string{"list pods  in c"}, j.take(), "only what is new")

		p.set(append(p.cells, api.Cell{Class: kaito, Namespace: "b"})...)
		_, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, []string{"list workspaces  in b"}, j.take(), "pods there are known of")

		_, err = s.grant(t.Context(), jane("another group"))
		require.NoError(t, err)
		require.Len(t, j.take(), 9, "somebody else")
	})
}

func TestWhoMayEverywhereIsNotAskedAboutNamespaces(t *testing.T) {
	t.Parallel()
	j, _, s := newJudged(api.Cell{Class: kaito, Namespace: "a"}, api.Cell{Class: podsClass, Namespace: "b"})
	j.allow(question{listPods, ""}, question{listWorks, ""})
	g, err := s.grant(t.Context(), jane())
	require.NoError(t, err)
	require.True(t, g.Sight.IncludesAll(api.KindDeployments))
	require.ElementsMatch(t, first, j.take())
}

// A grant is as old as the oldest answer in it, from when the question was asked.
func TestAGrantIsAsOldAsItsOldestAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, p, s := newJudged()
		j.takes = 3 * time.Second
		start := time.Now()
		g, err := s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, start.Add(Validity), g.Until)
		time.Sleep(10 * time.Second)
		p.set(api.Cell{Class: podsClass, Namespace: "a"})
		g, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, start.Add(Validity), g.Until, "a new answer does not make the others younger")
		j.take()
		time.Sleep(time.Until(g.Until) - time.Nanosecond)
		_, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Empty(t, j.take())
		time.Sleep(time.Nanosecond)
		g, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, first, j.take(), "what is younger still holds")
		require.Equal(t, start.Add(16*time.Second+Validity-3*time.Second), g.Until)
	})
}

// A namespace that somebody sees stays in their sight when its last document goes: their streams would start over otherwise.
func TestAnEmptiedNamespaceStaysInSight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := api.Cell{Class: podsClass, Namespace: "a"}, api.Cell{Class: podsClass, Namespace: "b"}
		j, p, s := newJudged(a, b)
		j.allow(question{listPods, "a"})
		before, err := s.grant(t.Context(), jane())
		require.NoError(t, err)
		p.set()
		time.Sleep(Validity)
		j.take()
		after, err := s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, before.Sight.Name(), after.Sight.Name())
		require.Same(t, before.Sight, after.Sight)
		asked := j.take()
		require.Contains(t, asked, "list pods  in a")
		require.NotContains(t, asked, "list pods  in b", "what they never saw is not asked about for ever")

		j.allow()
		time.Sleep(Validity)
		lost, err := s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.False(t, lost.Sight.Includes(a), "but not without the right")
		require.NotEqual(t, before.Sight.Name(), lost.Sight.Name())
		j.take()
		time.Sleep(Validity)
		_, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.NotContains(t, j.take(), "list pods  in a")
	})
}

func TestWithoutAnAnswerNothingIsGranted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, p, s := newJudged(api.Cell{Class: podsClass, Namespace: "a"})
		j.allow(question{listPods, "a"})
		j.err = errors.New("connection refused")
		g, err := s.grant(t.Context(), jane())
		require.Equal(t, api.ErrorCodeUnavailable, code(t, err))
		require.Nil(t, g.Sight)
		j.err = nil
		_, err = s.grant(t.Context(), jane())
		require.NoError(t, err, "the outage is not kept")

		// Neither does what was granted outlast its time, nor is it stretched over what was not asked about.
		j.err = errors.New("connection refused")
		_, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		p.set(api.Cell{Class: podsClass, Namespace: "a"}, api.Cell{Class: podsClass, Namespace: "b"})
		g, err = s.grant(t.Context(), jane())
		require.Equal(t, api.ErrorCodeUnavailable, code(t, err))
		require.Nil(t, g.Sight)
		time.Sleep(Validity)
		g, err = s.grant(t.Context(), jane())
		require.Equal(t, api.ErrorCodeUnavailable, code(t, err))
		require.Nil(t, g.Sight)

		// One that hangs is given up.
		j.err, j.takes = nil, time.Hour
		start := time.Now()
		_, err = s.grant(t.Context(), jane())
		require.Equal(t, api.ErrorCodeUnavailable, code(t, err))
		require.Equal(t, reviewTimeout, time.Since(start))
	})
}

func TestWhoGivesUpDoesNotEndTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, _, s := newJudged()
		j.takes = time.Second
		ctx, giveUp := context.WithTimeout(t.Context(), time.Millisecond)
		defer giveUp()
		_, err := s.grant(ctx, jane())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, first, j.take())
	})
}

func TestTheForgottenAreAskedAboutAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, _, s := newJudged()
		_, err := s.grant(t.Context(), jane())
		require.NoError(t, err)
		s.forget(time.Now())
		require.Len(t, s.kept, 1)
		time.Sleep(2 * time.Second)
		s.forget(time.Now().Add(-time.Second))
		require.Empty(t, s.kept)
		j.take()
		_, err = s.grant(t.Context(), jane())
		require.NoError(t, err)
		require.Equal(t, first, j.take())
	})
}

// TestASightIsWhatItsRightsSay: for any documents, rights and answers, through any changes of them, a grant shows what one
// would who looked at every rule and every answer, for every place that documents lie in.
func TestASightIsWhatItsRightsSay(t *testing.T) {
	t.Parallel()
	runtimes := map[string]Resource{"kaito": {"kaito.sh", "workspaces"}, "kuberay": {"ray.io", "rayservices"}}
	rules := RightsFor(runtimes, "own")
	namespaces := []string{"a", "b", "own"}
	var everyCell []api.Cell
	var questions []question
	for class, rights := range rules {
		for _, namespace := range append([]string{""}, namespaces...) {
			everyCell = append(everyCell, api.Cell{Class: class, Namespace: namespace})
			for _, r := range rights {
				plain := r
				plain.Namespaced, plain.Namespace = false, ""
				questions = append(questions, question{plain, namespace}, question{plain, r.Namespace})
			}
		}
	}
	slices.SortFunc(everyCell, func(a, b api.Cell) int { return compareText(a, b) })
	slices.SortFunc(questions, func(a, b question) int { return compareText(a, b) })
	questions = slices.Compact(questions)
	rapid.Check(t, func(t *rapid.T) {
		j, p := &judge{}, &places{}
		s := newSights(rules, p, &reviews{authorizer.AuthorizerFunc(j.Authorize)})
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			lie := rapid.SliceOfDistinct(rapid.SampledFrom(everyCell), func(c api.Cell) api.Cell { return c }).Draw(t, "cells")
			j.allow(rapid.SliceOfDistinct(rapid.SampledFrom(questions), func(q question) question { return q }).Draw(t, "allowed")...)
			p.set(lie...)
			for _, h := range s.kept { // as if the validity had run out
				clear(h.answers)
				if g := h.grant.Load(); g != nil {
					old := *g
					old.Until = time.Now().Add(-time.Second)
					h.grant.Store(&old)
				}
			}
			g, err := s.grant(context.Background(), jane())
			if err != nil {
				t.Fatal(err)
			}
			for _, cell := range lie {
				if want := j.opens(rules[cell.Class], cell.Namespace); g.Sight.Includes(cell) != want {
					t.Fatalf("%+v: shown %t, should be %t", cell, !want, want)
				}
			}
			for _, cell := range everyCell { // places without documents may be left out, and never let in
				if g.Sight.Includes(cell) && !j.opens(rules[cell.Class], cell.Namespace) {
					t.Fatalf("%+v is shown", cell)
				}
			}
		}
	})
}

// opens is the rule, as plainly as it can be put.
func (j *judge) opens(rights []Right, namespace string) bool {
	for _, r := range rights {
		plain := r
		plain.Namespaced, plain.Namespace = false, ""
		if !j.allowed[question{plain, r.Namespace}] && (!r.Namespaced || namespace == "" || !j.allowed[question{plain, namespace}]) {
			return false
		}
	}
	return true
}

func compareText(a, b any) int {
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
