package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/watch"
)

// sources is a Publisher that keeps what is said of the sources.
type sources struct {
	mu    sync.Mutex
	kinds map[string]api.KindState
}

func (s *sources) Put(doc api.Document, _ time.Time) {
	if doc.Key.Kind != api.KindSources {
		return
	}
	var state api.KindState
	if err := json.Unmarshal(doc.JSON, &state); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[doc.Key.ID] = state
}

func (s *sources) Delete(api.Key, time.Time) {}
func (s *sources) Settle(api.Kind)           {}
func (s *sources) Emit(api.Event)            {}

// missing lists what is not synced of what has to be.
func (s *sources) missing() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, seen := []string{}, map[string]bool{}
	for kind, state := range s.kinds {
		for _, source := range state.Sources {
			seen[source.Resource] = true
			if source.State != api.SourceStateSynced {
				out = append(out, fmt.Sprintf("%s: %s %s is %s: %s", kind, source.Resource, source.Namespace, source.State, source.Error))
			}
		}
	}
	for _, resource := range []string{
		"pods", "nodes", "events", "configmaps", "deployments.apps", "customresourcedefinitions.apiextensions.k8s.io",
		"workspaces.kaito.sh", "rayservices.ray.io", "dynamographdeployments.nvidia.com",
	} {
		if !seen[resource] {
			out = append(out, resource+" is not watched")
		}
	}
	return out
}

// account returns a configuration that acts as the server's ServiceAccount.
func (c cluster) account(t *testing.T) *rest.Config {
	t.Helper()
	token, err := c.kube.CoreV1().ServiceAccounts(deploy.Namespace).CreateToken(t.Context(), "kubefoundry", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token.Status.Token
	return config
}

// The rights are enough for all that is watched, in the whole cluster and in some namespaces.
func TestTheServerReadsAllThatItWatches(t *testing.T) {
	c := needCluster(t)
	for _, namespace := range []string{deploy.Namespace, "ml", "research"} {
		c.namespace(t, namespace)
	}
	for values, namespaces := range map[string][]string{"": nil, "namespaces: [ml, research]": {"ml", "research"}} {
		t.Run(values, func(t *testing.T) {
			c.apply(t, render(t, values))
			published := &sources{kinds: map[string]api.KindState{}}
			w, err := watch.New(watch.Options{
				Config: c.account(t), Runtimes: registry.All(), Namespaces: namespaces, Publisher: published, Logger: zaptest.NewLogger(t),
			})
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- w.Run(ctx) }()
			defer func() {
				stop()
				assert.NoError(t, <-ended)
			}()
			require.EventuallyWithT(t, func(t *assert.CollectT) { assert.Empty(t, published.missing()) }, time.Minute, tick)
		})
	}
}
