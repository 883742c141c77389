package bus

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

// start runs everything that start is given until the test ends, and reports what it returns.
func start(t testing.TB, run ...func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(run))
	for _, r := range run {
		go func() { done <- r(ctx) }()
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range run {
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

func open(t testing.TB, config Config) *Bus {
	t.Helper()
	b, err := Open(context.Background(), config, testLog(t), nil)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func follow(b *Bus, sink Sink) func(context.Context) error {
	return func(ctx context.Context) error { return b.Follow(ctx, sink) }
}

func TestDocumentsReachTheSink(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "file": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			b := open(t, Config{StoreDir: dir})
			p, m := b.Publisher(), newModel()
			now := time.Now()
			p.Put(doc(pod(1), `{"a":1}`), now)
			p.Put(doc(api.NodeKey("n.1"), `{"n":1}`), now)
			start(t, p.Run, follow(b, m))
			m.eventually(t, map[api.Key]string{pod(1): `{"a":1}`, api.NodeKey("n.1"): `{"n":1}`}, 5*time.Second)

			p.Put(doc(pod(1), `{"a":2}`), now)
			p.Delete(api.NodeKey("n.1"), now)
			m.eventually(t, map[api.Key]string{pod(1): `{"a":2}`}, 5*time.Second)
		})
	}
}
