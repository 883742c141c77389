package tenancy

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/automation"
	"github.com/kubefoundry/kubefoundry/deploy"
)

// subscribe connects to the NATS server with a token.
func (i *installation) subscribe(token string) (*nats.Conn, error) {
	name := "kubefoundry-nats." + deploy.Namespace + ".svc"
	return nats.Connect("tls://"+i.nats, nats.Token(token), nats.MaxReconnects(0), nats.Timeout(20*time.Second),
		nats.Secure(&tls.Config{RootCAs: i.roots, ServerName: name, MinVersion: tls.VersionTLS12}))
}

// readBucketsAsEverybody holds what each role finds in the bucket against what the API server lets them list, and sees that
// nobody gets anything into it.
func readBucketsAsEverybody(t *testing.T, everybody map[string]*caller) {
	for _, r := range roles {
		t.Run(r.name, func(t *testing.T) {
			c := everybody[r.name]
			connection, err := c.world.i.subscribe(c.who.Token(t, automation.Audience))
			require.NoError(t, err)
			defer connection.Close()
			js, err := jetstream.New(connection)
			require.NoError(t, err)
			bucket, err := js.KeyValue(t.Context(), "kubefoundry")
			require.NoError(t, err)
			require.EventuallyWithT(t, func(col *assert.CollectT) {
				deployments, others := c.keys(t, bucket)
				assert.ElementsMatch(col, slices.Collect(maps.Keys(c.sees.deployments)), deployments)
				for kind, keys := range others {
					for _, key := range keys {
						switch kind {
						case api.KindPods:
							assert.True(col, c.sees.pods[key.Namespace] || c.sees.everywhere["pods"], "%v", key)
						case api.KindNodes, api.KindPools:
							assert.NotNil(col, c.sees.nodes, "%v", key)
						case api.KindAutoscaler:
							assert.True(col, c.sees.autoscaler)
						default:
							assert.Contains(col, []api.Kind{api.KindCapacity, api.KindRuntimes, api.KindOperations}, kind)
						}
					}
				}
			}, patience, 500*time.Millisecond)

			_, err = bucket.Put(t.Context(), "deployments.x.x", []byte("{}"))
			require.Error(t, err)
			refused := make(chan error, 4)
			connection.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
			require.NoError(t, connection.Publish("kubefoundry.events.deployments.x.x.created", []byte("{}")))
			require.NoError(t, connection.Flush())
			select {
			case err := <-refused:
				require.ErrorIs(t, err, nats.ErrPermissionViolation)
			case <-time.After(patience):
				t.Fatal("an event could be published")
			}
		})
	}
	t.Run("strangers", func(t *testing.T) {
		admin := everybody["admin"]
		for what, token := range map[string]string{"none": "", "garbage": "garbage", "for the API server": admin.who.Token(t), "for another": admin.who.Token(t, "another")} {
			_, err := admin.world.i.subscribe(token)
			require.ErrorIs(t, err, nats.ErrAuthorization, what)
		}
	})
}

// keys are those of a bucket: the ids of deployments, and the others by kind. What comes with them is heard.
func (c *caller) keys(t *testing.T, bucket jetstream.KeyValue) (deployments []string, others map[api.Kind][]api.Key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	others = map[api.Kind][]api.Key{}
	all, err := bucket.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, others
	}
	require.NoError(t, err)
	for _, text := range all {
		key, err := api.ParseKey(text)
		require.NoError(t, err)
		entry, err := bucket.Get(ctx, text)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		require.NoError(t, err)
		c.hear("NATS", text+" "+string(entry.Value()))
		if key.Kind == api.KindDeployments {
			deployments = append(deployments, key.ID)
		} else {
			others[key.Kind] = append(others[key.Kind], key)
		}
	}
	return deployments, others
}
