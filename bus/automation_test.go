package bus_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/automation"
	"github.com/kubefoundry/kubefoundry/bus"
	"github.com/kubefoundry/kubefoundry/internal/auth"
	"github.com/kubefoundry/kubefoundry/view"
)

// everybody is who has any token.
type everybody struct{ caller *auth.Caller }

func (e everybody) Caller(context.Context, string) (*auth.Caller, time.Time, error) {
	return e.caller, time.Now().Add(auth.Validity), nil
}

// TestClientsSurviveARestart: their connections come back by themselves, to accounts that are filled anew.
func TestClientsSurviveARestart(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "file": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			b, err := bus.Open(context.Background(), bus.Config{StoreDir: dir, Listen: bus.Listen{Address: "127.0.0.1:0"}}, zap.NewNop(), nil)
			require.NoError(t, err)
			t.Cleanup(b.Close)
			v := view.New(view.Options{})
			caller, err := auth.NewUnchecked(nil, "robot").Authenticate(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
			require.NoError(t, err)
			a, err := automation.New(automation.Options{
				Bus: b, View: v, Tokens: everybody{caller}, Logger: zap.NewNop(),
				Rights: automation.RightsFunc(func(context.Context, *auth.Caller) (auth.Grant, error) {
					return auth.Grant{Sight: api.Everything(), Cells: v.CellsVersion()}, nil
				}),
			})
			require.NoError(t, err)
			publisher := b.Publisher()
			ctx, cancel := context.WithCancel(context.Background())
			var group sync.WaitGroup
			t.Cleanup(func() {
				cancel()
				group.Wait()
			})
			for _, run := range []func(context.Context) error{publisher.Run, a.Run, func(ctx context.Context) error { return b.Follow(ctx, v) }} {
				group.Go(func() {
					if err := run(ctx); err != nil {
						t.Errorf("run: %v", err)
					}
				})
			}
			put := func(i int) {
				key := api.PodKey("ml", fmt.Sprint("pod-", i))
				publisher.Put(api.Document{Key: key, JSON: fmt.Append(nil, i)}, time.Now())
				publisher.Emit(api.Event{Key: key, Change: api.EventCreated, Time: time.Now(), Document: fmt.Append(nil, i)})
			}
			for i := range 10 {
				put(i)
			}
			nc, err := nats.Connect("nats://"+b.ListenAddress().String(), nats.Token("any"), nats.MaxReconnects(-1),
				nats.ReconnectWait(50*time.Millisecond), nats.IgnoreAuthErrorAbort(), nats.RetryOnFailedConnect(true), nats.Timeout(15*time.Second))
			require.NoError(t, err)
			t.Cleanup(nc.Close)
			js, err := jetstream.New(nc)
			require.NoError(t, err)
			holds := func(documents, events int) {
				t.Helper()
				require.Eventually(t, func() bool {
					ctx, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					bucket, err := js.KeyValue(ctx, "kubefoundry")
					if err != nil {
						return false
					}
					status, err := bucket.Status(ctx)
					if err != nil {
						return false
					}
					stream, err := js.Stream(ctx, "KUBEFOUNDRY_EVENTS")
					return err == nil && status.Values() == uint64(documents) && stream.CachedInfo().State.NumSubjects == uint64(events)
				}, 30*time.Second, 20*time.Millisecond)
			}
			holds(10, 10)
			require.NoError(t, b.RestartServer())
			put(10)
			if dir == "" {
				holds(11, 1) // the events were in memory too
			} else {
				holds(11, 11)
			}
		})
	}
}
