package watch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestStatusFollowsTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		changes := 0
		s := newStatus(api.Source{Resource: "pods"}, zap.New(core), func() { changes++ })
		step := func(does func(), want api.SourceState, wantError string) {
			t.Helper()
			does()
			require.Equal(t, want, s.document().State)
			require.Equal(t, wantError, s.document().Error)
			time.Sleep(time.Second)
		}
		step(func() { s.started("v1") }, api.SourceStateStarting, "")
		began := time.Now().UTC()
		step(func() { s.failed("forbidden", true) }, api.SourceStateFailed, "forbidden")
		require.True(t, s.blocked())
		step(func() { s.failed("refused", false) }, api.SourceStateFailed, "refused")
		require.False(t, s.blocked())
		require.Equal(t, began, s.document().Since, "the trouble lasts since it began, whatever became of it")
		step(s.answered, api.SourceStateStarting, "")
		step(s.filled, api.SourceStateSynced, "")
		require.True(t, s.document().Since.IsZero())
		before := changes
		step(s.answered, api.SourceStateSynced, "")
		require.Equal(t, before, changes, "what is as before is not told")
		step(func() { s.failed("forbidden", true) }, api.SourceStateStale, "forbidden")
		require.False(t, s.blocked(), "what was listed once is there")
		step(s.answered, api.SourceStateSynced, "")
		step(s.absent, api.SourceStateAbsent, "")
		require.Empty(t, s.document().Version)

		var states []string
		for _, entry := range logs.All() {
			states = append(states, entry.ContextMap()["state"].(string))
		}
		require.Equal(t, []string{"failed", "starting", "synced", "stale", "synced", "absent"}, states, "each state is logged once")
	})
}
