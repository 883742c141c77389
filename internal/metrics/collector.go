package metrics

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	// Interval is the least time between two collections of a deployment, where nothing else is said.
	Interval = 15 * time.Second
	// Retention is how long a deployment is remembered that nobody looks at.
	Retention = time.Minute

	collectionTime = 15 * time.Second
	maxAtOnce      = 8      // servers that are asked: each answer takes up to 50 MiB of memory while it is read
	maxSubjects    = 1000   // whose last readings are kept
	maxSamples     = 10_000 // that are shown; figures are made of all
)

// Collector collects. It is made by New.
type Collector struct {
	// Interval is the least time between two collections of a deployment. It is set before the first Get.
	Interval time.Duration

	scrape  func(context.Context, *rest.Config, Target) ([]api.MetricSample, *failure, error)
	closing context.Context
	asking  chan struct{} // one token for each server that is being asked

	mu       sync.Mutex
	subjects map[string]*entry // by key
}

// entry is what is kept of one subject.
type entry struct {
	// Under the collector's lock.
	asked   time.Time
	current *Collection
	flight  *flight
	expiry  *time.Timer

	histories map[Target]*history // belongs to the flight
}

// flight is a collection under way.
type flight struct {
	done   chan struct{}
	result *Collection // once done
	err    error
}

// New makes a Collector. What is under way breaks off when closing ends.
func New(closing context.Context) *Collector {
	return &Collector{Interval: Interval, scrape: scrape, closing: closing, asking: make(chan struct{}, maxAtOnce), subjects: map[string]*entry{}}
}

// Collection is what was collected at one time. It is immutable, and the same for all who look at it.
type Collection struct {
	Answer api.DeploymentMetrics
	// Due is when there can be a newer one.
	Due time.Time

	whole, brief struct {
		once sync.Once
		json []byte
	}
}

// JSON is the answer as it is sent, without samples where it is to be brief. It is encoded once, and not to be written to.
func (c *Collection) JSON(brief bool) ([]byte, error) {
	answer, kept := c.Answer, &c.whole
	if brief {
		answer.Metrics, kept = []api.MetricSample{}, &c.brief
	}
	var err error
	kept.once.Do(func() { kept.json, err = json.Marshal(answer) }) // numbers that JSON does not know are left out before
	return kept.json, err
}

// Get returns what was collected last, if that is fresh, else collects with the viewer's config. The error is that of ctx, or of
// the Kubernetes API; servers that do not answer are no error.
func (c *Collector) Get(ctx context.Context, s Subject, config *rest.Config) (*Collection, error) {
	for {
		e, f, mine := c.board(s.Key)
		switch {
		case f == nil:
			return e, nil
		case mine:
			c.fly(ctx, s, config, f)
			return f.result, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// What another viewer may not do says nothing of what this one may.
		if f.err == nil || !apierrors.IsForbidden(f.err) && !apierrors.IsUnauthorized(f.err) && !errors.Is(f.err, errAborted) {
			return f.result, f.err
		}
	}
}

// board returns what is fresh, or the flight that is under way, or a new one that is the caller's to fly.
func (c *Collector) board(key string) (current *Collection, f *flight, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e := c.subjects[key]
	if e == nil {
		c.makeRoom()
		e = &entry{histories: map[Target]*history{}}
		e.expiry = time.AfterFunc(Retention, func() { c.expire(key, e) })
		c.subjects[key] = e
	}
	e.asked = now
	switch {
	case e.current != nil && now.Before(e.current.Due):
		return e.current, nil, false
	case e.flight != nil:
		return nil, e.flight, false
	}
	e.flight = &flight{done: make(chan struct{}), err: errAborted}
	return nil, e.flight, true
}

var errAborted = errors.New("the collection was aborted")

// makeRoom forgets the subject that nobody asked about for the longest time, where there are too many. The lock is held.
func (c *Collector) makeRoom() {
	if len(c.subjects) < maxSubjects {
		return
	}
	oldest, key := (*entry)(nil), ""
	for k, e := range c.subjects {
		if oldest == nil || e.asked.Before(oldest.asked) {
			oldest, key = e, k
		}
	}
	oldest.expiry.Stop()
	delete(c.subjects, key)
}

func (c *Collector) expire(key string, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := Retention - time.Since(e.asked); left > 0 || e.flight != nil {
		e.expiry.Reset(max(left, time.Second))
		return
	}
	if c.subjects[key] == e {
		delete(c.subjects, key)
	}
}

// fly collects. It goes on when the viewer leaves, for others may be waiting.
func (c *Collector) fly(ctx context.Context, s Subject, config *rest.Config, f *flight) {
	c.mu.Lock()
	e := c.subjects[s.Key]
	if e == nil || e.flight != f { // forgotten in between: there is nothing to add to
		e = &entry{flight: f, histories: map[Target]*history{}}
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.flight = nil; f.err == nil {
			e.current = f.result
		}
		close(f.done)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), collectionTime)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)() //nolint:contextcheck // it is the server's end, not the viewer's
	f.result, f.err = c.collect(ctx, s, config, e)
}

// scraped is what came of one server.
type scraped struct {
	at      time.Time
	samples []api.MetricSample
	failure *failure
	err     error
}

func (c *Collector) collect(ctx context.Context, s Subject, config *rest.Config, e *entry) (*Collection, error) {
	results := make([]scraped, len(s.Targets))
	var wait sync.WaitGroup
	for i, t := range s.Targets {
		wait.Go(func() { results[i] = c.ask(ctx, config, t) })
	}
	wait.Wait()
	var all readings
	var failures []*failure
	answer := api.DeploymentMetrics{Timestamp: time.Now().UTC(), Metrics: []api.MetricSample{}}
	histories := make(map[Target]*history, len(s.Targets))
	for i, t := range s.Targets {
		r := &results[i]
		if r.err != nil {
			return nil, r.err
		}
		h := e.histories[t]
		if h == nil {
			h = &history{}
		}
		histories[t] = h
		if r.failure != nil {
			failures = append(failures, r.failure)
		}
		if r.samples == nil {
			continue
		}
		if s.GaugesOnly || r.failure != nil { // half an answer makes no increments
			h = nil
		} else {
			h.add(r.at, r.samples)
		}
		all = append(all, newReading(r.samples, h))
		answer.Metrics = show(answer.Metrics, r.samples, t, len(s.Targets) > 1)
	}
	e.histories = histories
	if len(answer.Metrics) > maxSamples {
		answer.Metrics, answer.Truncated = answer.Metrics[:maxSamples:maxSamples], true
	}
	answer.Available = len(all) > 0
	if answer.Available {
		answer.Derived = figures(all)
		answer.Derived.Partial = s.Partial
	}
	tell(&answer, failures, len(s.Targets))
	return &Collection{Answer: answer, Due: answer.Timestamp.Add(c.Interval)}, nil
}

// show adds samples to those that are shown, and says of which pod they are.
func show(shown, samples []api.MetricSample, t Target, several bool) []api.MetricSample {
	if !several || t.Resource != "pods" {
		return append(shown, samples...)
	}
	for _, s := range samples {
		labels := make(map[string]string, len(s.Labels)+1)
		labels["pod"] = t.Name
		maps.Copy(labels, s.Labels) // the server's own wins
		s.Labels = labels
		shown = append(shown, s)
	}
	return shown
}

// tell says what is missing.
func tell(answer *api.DeploymentMetrics, failures []*failure, targets int) {
	if len(failures) == 0 {
		return
	}
	first := slices.MinFunc(failures, func(a, b *failure) int { return cmp.Compare(weight(a), weight(b)) })
	answer.Error = first.message
	if !answer.Available {
		answer.Reason = first.reason
	}
	if len(failures) > 1 || answer.Available && targets > 1 {
		answer.Error = fmt.Sprintf("%d of %d servers do not tell: %s", len(failures), targets, first.message)
	}
	if answer.Available {
		answer.Derived.Partial = strings.TrimPrefix(answer.Derived.Partial+". "+answer.Error, ". ")
	}
}

// weight puts first what tells most of why there is nothing.
func weight(f *failure) int {
	switch f.reason {
	case api.MetricsUnavailableNoService, api.MetricsUnavailableNoEndpoints:
		return 2
	case api.MetricsUnavailableNotReady, api.MetricsUnavailableRefused:
		return 1
	}
	return 0
}

// ask asks one server, in its turn.
func (c *Collector) ask(ctx context.Context, config *rest.Config, t Target) (s scraped) {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return scraped{failure: timedOut(t)}
	}
	s.samples, s.failure, s.err = c.scrape(ctx, config, t)
	s.at = time.Now()
	return s
}
