package bus

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestEmbeddedServerMayRestart(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "file": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{StoreDir: dir, tuning: tuning{reconnectWait: 10 * time.Millisecond}})
			p, m := b.Publisher(), newModel()
			start(t, p.Run, follow(b, m))
			p.Put(doc(pod(1), `1`), time.Now())
			m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
			epoch := m.servingEpoch()

			b.server.server.Shutdown()
			b.server.server.WaitForShutdown()
			p.Put(doc(pod(2), `2`), time.Now())
			require.NoError(t, b.server.start(context.Background(), zap.NewNop()))
			m.eventually(t, map[api.Key]string{pod(1): `1`, pod(2): `2`}, 10*time.Second)
			assert.Equal(t, dir != "", m.servingEpoch() == epoch, "a file keeps the epoch, memory does not")
		})
	}
}

func TestAFileOutlivesTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "demand")
	b := open(t, Config{StoreDir: dir})
	p, m := b.Publisher(), newModel()
	stop := start(t, p.Run, follow(b, m))
	p.Put(doc(pod(1), `1`), time.Now())
	m.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
	stop()
	b.Close()

	b, again := open(t, Config{StoreDir: dir}), newModel()
	start(t, follow(b, again))
	again.eventually(t, map[api.Key]string{pod(1): `1`}, 5*time.Second)
	assert.Equal(t, m.servingEpoch(), again.servingEpoch())
}

func TestMemoryLeavesNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b := open(t, Config{})
	dir := b.server.private
	require.DirExists(t, dir)
	b.Close()
	b.Close()
	assert.NoDirExists(t, dir)
}

func TestCloseEndsWhatRuns(t *testing.T) {
	b := open(t, Config{})
	errs := make(chan error, 2)
	go func() { errs <- b.Publisher().Run(context.Background()) }()
	m := newModel()
	go func() { errs <- b.Follow(context.Background(), m) }()
	require.Eventually(t, func() bool { return m.servingEpoch() != "" }, 5*time.Second, time.Millisecond)
	b.Close()
	for range 2 {
		require.ErrorIs(t, <-errs, errClosed)
	}
}

func TestUnusableStoreIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(context.Background(), Config{StoreDir: file}, zap.NewNop(), nil)
	require.ErrorContains(t, err, "store directory")
}
