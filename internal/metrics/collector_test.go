package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// rig is a collector whose servers are a function.
type rig struct {
	*Collector
	asked atomic.Int32
}

func newRig(t *testing.T, answer func(config *rest.Config, t Target, n int) ([]api.MetricSample, *failure, error)) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r := &rig{Collector: New(ctx)}
	r.scrape = func(ctx context.Context, config *rest.Config, t Target) ([]api.MetricSample, *failure, error) {
		n := int(r.asked.Add(1))
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		return answer(config, t, n)
	}
	return r
}

// counting is a server that takes ten requests between two answers.
func counting(_ *rest.Config, _ Target, n int) ([]api.MetricSample, *failure, error) {
	return []api.MetricSample{{Name: "vllm:request_success_total", Value: float64(10 * n)}}, nil, nil
}

var one = Subject{Key: "one", Targets: []Target{{Namespace: "ml", Resource: "services", Name: "one", Port: 80}}}

// TestViewersShare: a hundred viewers for two minutes cost one question every interval; when they are gone there is none, and
// nothing is kept.
func TestViewersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, counting)
		ctx, leave := context.WithTimeout(t.Context(), 2*time.Minute)
		defer leave()
		began := time.Now()
		var viewers sync.WaitGroup
		for range 100 {
			viewers.Go(func() {
				for ctx.Err() == nil {
					c, err := r.Get(ctx, one, &rest.Config{})
					if ctx.Err() != nil {
						return
					}
					require.NoError(t, err)
					require.True(t, c.Answer.Available)
					time.Sleep(time.Until(c.Due))
				}
			})
		}
		viewers.Wait()
		took := time.Since(began)
		asked := r.asked.Load()
		require.InDelta(t, took/(Interval+time.Second), asked, 1, "an answer takes a second")
		c, err := r.Get(t.Context(), one, &rest.Config{})
		require.NoError(t, err)
		require.InDelta(t, 10./16, *c.Answer.Derived.RequestsPerSecond, 0.01)
		asked = r.asked.Load()

		time.Sleep(Retention + time.Second)
		require.Equal(t, asked, r.asked.Load(), "nobody looks")
		r.mu.Lock()
		require.Empty(t, r.subjects)
		r.mu.Unlock()
		c, err = r.Get(t.Context(), one, &rest.Config{})
		require.NoError(t, err)
		require.Nil(t, c.Answer.Derived.RequestsPerSecond, "it begins anew")
		time.Sleep(2 * Retention)
	})
}

// TestTheFirstViewerLeaves: those who wait with it get what it had begun.
func TestTheFirstViewerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, counting)
		ctx, leave := context.WithCancel(t.Context())
		var viewers sync.WaitGroup
		viewers.Go(func() { _, _ = r.Get(ctx, one, &rest.Config{}) })
		synctest.Wait()
		viewers.Go(func() {
			c, err := r.Get(t.Context(), one, &rest.Config{})
			require.NoError(t, err)
			require.True(t, c.Answer.Available)
		})
		synctest.Wait()
		leave()
		viewers.Wait()
		require.EqualValues(t, 1, r.asked.Load())
		time.Sleep(2 * Retention)
	})
}

// TestOneViewersRefusalIsNotTheOthers: what one may not do does not stop those who may, and is not kept.
func TestOneViewersRefusalIsNotTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "services/proxy"}, "one", errors.New("no"))
		r := newRig(t, func(config *rest.Config, target Target, n int) ([]api.MetricSample, *failure, error) {
			if config.BearerToken == "stranger" {
				return nil, nil, forbidden
			}
			return counting(config, target, n)
		})
		var viewers sync.WaitGroup
		for i, token := range []string{"stranger", "friend", "stranger", "friend"} {
			viewers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				c, err := r.Get(t.Context(), one, &rest.Config{BearerToken: token})
				if token == "stranger" && err != nil { // the rights of whoever looks at what is fresh are the caller's to check
					require.ErrorIs(t, err, forbidden)
					return
				}
				require.NoError(t, err)
				require.True(t, c.Answer.Available)
			})
		}
		viewers.Wait()
		time.Sleep(2 * Retention)
	})
}

// TestSomeDoNotAnswer: what there is, is shown, with what is missing.
func TestSomeDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(config *rest.Config, target Target, n int) ([]api.MetricSample, *failure, error) {
			switch target.Port {
			case 1:
				return nil, failed(api.MetricsUnavailableRefused, "Nothing listens on %s", target), nil
			case 2:
				return []api.MetricSample{{Name: "vllm:request_success_total", Value: 1}}, failed(api.MetricsUnavailableUnreadable, "%s is odd", target), nil
			}
			return counting(config, target, n)
		})
		pods := func(ports ...int) (s Subject) {
			for _, port := range ports {
				s.Targets = append(s.Targets, Target{Resource: "pods", Name: fmt.Sprint("p", port), Port: port})
			}
			s.Key = fmt.Sprint(ports)
			return s
		}
		get := func(s Subject) api.DeploymentMetrics {
			c, err := r.Get(t.Context(), s, &rest.Config{})
			require.NoError(t, err)
			return c.Answer
		}
		none := get(pods(1))
		require.False(t, none.Available)
		require.Equal(t, api.MetricsUnavailableRefused, none.Reason)
		require.Equal(t, "Nothing listens on pod p1:1", none.Error)
		require.NotNil(t, none.Metrics)

		some := get(pods(1, 3))
		require.True(t, some.Available)
		require.Empty(t, some.Reason)
		require.Equal(t, "1 of 2 servers do not tell: Nothing listens on pod p1:1", some.Error)
		require.Equal(t, some.Error, some.Derived.Partial)
		require.Equal(t, 1, some.Derived.Targets)
		require.Equal(t, "p3", some.Metrics[0].Labels["pod"])

		for range 2 {
			half := get(pods(2))
			require.True(t, half.Available)
			require.Equal(t, "pod p2:2 is odd", half.Error)
			require.Nil(t, half.Derived.RequestsPerSecond, "half an answer has no rates")
			time.Sleep(Interval)
		}

		behind := pods(3)
		behind.Key, behind.GaugesOnly, behind.Partial = "service", true, "One of 2 pods answers"
		for range 2 {
			d := get(behind).Derived
			require.Nil(t, d.RequestsPerSecond)
			require.Zero(t, d.Window)
			require.Equal(t, "One of 2 pods answers", d.Partial)
			time.Sleep(Interval)
		}
		time.Sleep(2 * Retention)
	})
}

// TestNoMoreThanSoMany: of subjects, samples and servers at once.
func TestNoMoreThanSoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		r := newRig(t, counting)
		slow := r.scrape
		r.scrape = func(ctx context.Context, config *rest.Config, target Target) ([]api.MetricSample, *failure, error) {
			defer now.Add(-1)
			most.Store(max(most.Load(), now.Add(1)))
			_, _, err := slow(ctx, config, target)
			return make([]api.MetricSample, maxSamples/4), nil, err
		}
		s := Subject{Key: "many"}
		for i := range maxPods {
			s.Targets = append(s.Targets, Target{Resource: "pods", Name: fmt.Sprint(i)})
		}
		c, err := r.Get(t.Context(), s, &rest.Config{})
		require.NoError(t, err)
		require.Len(t, c.Answer.Metrics, maxSamples)
		require.True(t, c.Answer.Truncated)
		require.EqualValues(t, maxAtOnce, most.Load())
		for i := range maxSubjects + 5 {
			r.board(fmt.Sprint(i))
		}
		require.Len(t, r.subjects, maxSubjects)
		require.NotContains(t, r.subjects, "many")
		for _, e := range r.subjects {
			e.expiry.Stop()
		}
	})
}
