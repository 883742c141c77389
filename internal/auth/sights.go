package auth

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/kubefoundry/kubefoundry/api"
)

// sights keeps what each user may see.
type sights struct {
	rights    Rights
	documents Documents
	reviews   *reviews

	mu     sync.RWMutex
	kept   map[string]*holder
	asking singleflight.Group
}

// holder is what is known of one user's rights. Only the one who asks, of which there is one at a time, changes it.
type holder struct {
	grant   atomic.Pointer[Grant]
	used    atomic.Int64 // unix seconds
	answers map[question]answer
}

// question is whether the user has a right in a namespace; empty: in all.
type question struct {
	right     Right
	namespace string
}

type answer struct {
	allowed bool
	asked   time.Time
}

// parallel is how many questions are asked at once for one user.
const parallel = 8

func newSights(rights Rights, documents Documents, r *reviews) *sights {
	return &sights{rights: rights, documents: documents, reviews: r, kept: map[string]*holder{}}
}

// grant is what a caller may see now.
func (s *sights) grant(ctx context.Context, c *Caller) (Grant, error) {
	now := time.Now()
	s.mu.RLock()
	h := s.kept[c.id]
	s.mu.RUnlock()
	if h != nil {
		h.used.Store(now.Unix())
		if g := h.grant.Load(); g != nil && g.Valid(now) && g.Cells == s.documents.CellsVersion() {
			return *g, nil
		}
	}
	asked := s.asking.DoChan(c.id, func() (any, error) { return s.ask(context.WithoutCancel(ctx), c) })
	select {
	case result := <-asked:
		if result.Err != nil {
			return Grant{}, result.Err
		}
		return result.Val.(Grant), nil
	case <-ctx.Done():
		return Grant{}, ctx.Err()
	}
}

// holder returns the one of a user. There is room for everybody who was here lately, or for nobody who was before.
func (s *sights) holder(id string) *holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.kept[id]
	if h == nil {
		if len(s.kept) >= maxKept {
			clear(s.kept)
		}
		h = &holder{answers: map[question]answer{}}
		h.used.Store(time.Now().Unix())
		s.kept[id] = h
	}
	return h
}

// ask decides anew, and asks only what is not known.
func (s *sights) ask(ctx context.Context, c *Caller) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*reviewTimeout)
	defer cancel()
	h := s.holder(c.id)
	cells, version := s.documents.Cells()
	namespaces := s.namespaces(cells, h)

	needed := map[question]answer{}
	var wide []question
	for _, rights := range s.rights {
		for _, r := range rights {
			wide = append(wide, question{r, r.Namespace})
		}
	}
	if err := s.answer(ctx, c, h, wide, needed); err != nil {
		return Grant{}, err
	}
	var narrow []question
	for class, rights := range s.rights {
		for _, r := range rights {
			if !r.Namespaced || needed[question{right: r}].allowed {
				continue
			}
			for namespace := range namespaces[class] {
				narrow = append(narrow, question{r, namespace})
			}
		}
	}
	if err := s.answer(ctx, c, h, narrow, needed); err != nil {
		return Grant{}, err
	}

	grant := Grant{Sight: s.sight(needed, namespaces), Cells: version, Until: time.Now().Add(Validity)}
	for _, a := range needed {
		if until := a.asked.Add(Validity); until.Before(grant.Until) {
			grant.Until = until
		}
	}
	if old := h.grant.Load(); old != nil && old.Sight.Name() == grant.Sight.Name() {
		grant.Sight = old.Sight
	}
	h.answers = needed
	h.grant.Store(&grant)
	return grant, nil
}

// namespaces are those to ask about for each class: where documents lie, and where the user sees them now, although the last
// may be gone. Without these a user's sight would change whenever a namespace empties, and their streams would start over.
func (s *sights) namespaces(cells []api.Cell, h *holder) map[api.Class]map[string]struct{} {
	namespaces := map[api.Class]map[string]struct{}{}
	add := func(class api.Class, namespace string) {
		if namespace == "" {
			return
		}
		if namespaces[class] == nil {
			namespaces[class] = map[string]struct{}{}
		}
		namespaces[class][namespace] = struct{}{}
	}
	for _, cell := range cells {
		add(cell.Class, cell.Namespace)
	}
	if old := h.grant.Load(); old != nil {
		for class := range s.rights {
			for _, namespace := range old.Sight.Namespaces(class) {
				add(class, namespace)
			}
		}
	}
	return namespaces
}

// answer puts the answers to questions into known: those that still hold, and fresh ones.
func (s *sights) answer(ctx context.Context, c *Caller, h *holder, questions []question, known map[question]answer) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, q := range questions {
		mu.Lock()
		_, seen := known[q]
		if old, ok := h.answers[q]; ok && !seen && time.Since(old.asked) < Validity {
			known[q], seen = old, true
		}
		if !seen {
			known[q] = answer{} // asked below; a second one with the same question need not
		}
		mu.Unlock()
		if seen {
			continue
		}
		group.Go(func() error {
			asked := time.Now()
			allowed, err := s.reviews.allowed(ctx, c.user, q.right, q.namespace)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			known[q] = answer{allowed, asked}
			return nil
		})
	}
	return group.Wait()
}

// sight puts answers together.
func (s *sights) sight(answers map[question]answer, namespaces map[api.Class]map[string]struct{}) *api.Sight {
	classes := make(map[api.Class]api.SightOf, len(s.rights))
	for class, rights := range s.rights {
		of := api.SightOf{All: true, Needs: needs(rights)}
		for _, r := range rights {
			of.All = of.All && answers[question{r, r.Namespace}].allowed
		}
		if !of.All {
			of.Namespaces = slices.DeleteFunc(slices.Collect(maps.Keys(namespaces[class])), func(namespace string) bool {
				for _, r := range rights {
					if !answers[question{r, r.Namespace}].allowed && (!r.Namespaced || !answers[question{r, namespace}].allowed) {
						return true
					}
				}
				return false
			})
		}
		classes[class] = of
	}
	return api.NewSight(classes)
}

// forget drops those who were not here since before.
func (s *sights) forget(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, h := range s.kept {
		if h.used.Load() < before.Unix() {
			delete(s.kept, id)
		}
	}
}
