package watch

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestUpdatedAtIsWhenAnythingElseChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		s := newShelf(r, newMetrics(func() int { return 0 }))
		key := api.DeploymentKey("ml", "kaito", "llama")
		created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		put := func(phase api.Phase, transition string) (api.Deployment, bool) {
			_, after, changed := s.put(key, &api.Deployment{
				Phase: phase, CreatedAt: created, Conditions: []api.Condition{{Type: "Ready", LastTransitionTime: transition}},
			}, cause{received: time.Now()}, zap.NewNop())
			var doc api.Deployment
			if changed {
				require.NoError(t, json.Unmarshal(after, &doc))
			}
			return doc, changed
		}
		doc, changed := put(api.PhasePending, "2026-02-01T00:00:00Z")
		require.True(t, changed)
		require.Equal(t, "2026-02-01T00:00:00Z", doc.UpdatedAt.Format(time.RFC3339), "the newest that it tells of itself")

		time.Sleep(time.Hour)
		_, changed = put(api.PhasePending, "2026-02-01T00:00:00Z")
		require.False(t, changed, "time alone is no change")

		doc, changed = put(api.PhaseRunning, "2026-02-01T00:00:00Z")
		require.True(t, changed)
		require.Equal(t, time.Now().UTC().Truncate(time.Millisecond), doc.UpdatedAt)
		require.Equal(t, 2, r.count(key))

		require.NotNil(t, s.remove(key, cause{received: time.Now()}))
		require.Nil(t, s.remove(key, cause{received: time.Now()}))
		doc, _ = put(api.PhasePending, "yesterday")
		require.Equal(t, created, doc.UpdatedAt, "without a readable transition, its creation")
	})
}

func TestTheShelfFindsKeysByKindAndNamespace(t *testing.T) {
	s := newShelf(newRecorder(), newMetrics(func() int { return 0 }))
	for _, key := range []api.Key{api.PodKey("a", "x"), api.PodKey("b", "x"), api.NodeKey("n")} {
		s.put(key, map[string]string{}, cause{received: time.Now()}, zap.NewNop())
	}
	require.ElementsMatch(t, []api.Key{api.PodKey("a", "x"), api.PodKey("b", "x")}, s.keys(api.KindPods, ""))
	require.Equal(t, []api.Key{api.PodKey("b", "x")}, s.keys(api.KindPods, "b"))
}
