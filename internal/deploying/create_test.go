package deploying

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/configtest"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// drawn is a configuration and what it has to come to.
type drawn struct {
	config *api.DeploymentConfig
	want   configtest.Expect
}

func draw(provider string, seed int) drawn {
	return rapid.Custom(func(t *rapid.T) drawn {
		c, want := configtest.Draw(t, provider)
		return drawn{c, want}
	}).Example(seed)
}

// TestEveryManifest creates drawn configurations of every runtime and looks for them on the stream.
func TestEveryManifest(t *testing.T) {
	g := newRig(t)
	each := 24
	if os.Getenv("KUBEFOUNDRY_CRDS") != "" {
		each = 15 // Ray's published definition takes the API server 20 ms of CPU for each object
	}
	namespace := devcluster.Namespace(t, g.cluster)
	editor := g.person(t, namespace, "editor", append(crs(all...), companions(all...)...)...)
	seen := editor.follow(t)
	wanted := map[string]drawn{}
	var group errgroup.Group
	group.SetLimit(6)
	for _, rt := range registry.All() {
		for i := range each {
			d := draw(rt.Info().ID, i)
			d.config.Name = fmt.Sprintf("%s-%d", rt.Info().ID, i)
			d.config.Namespace = namespace
			if d.want.Served == "" || !servedIsOwn(d) {
				d.want.Served = servedOf(rt, d.config)
			}
			wanted[api.DeploymentKey(namespace, rt.Info().ID, d.config.Name).ID] = d
			group.Go(func() error {
				failed := attempt(func(t require.TestingT) { createOne(t, editor, d) })
				if failed == nil {
					return nil
				}
				config, _ := json.Marshal(d.config)
				return fmt.Errorf("%s: %w", config, failed)
			})
		}
	}
	require.NoError(t, group.Wait())
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		held := seen()
		require.Len(c, held, len(wanted))
		for id, d := range wanted {
			got := held[id]
			require.Equal(c, d.want.Model, got.ModelId, id)
			require.Equal(c, d.want.Served, got.ServedModelName, id)
			require.Equal(c, d.want.Engine, got.Engine, id)
			require.Equal(c, d.want.Mode, got.Mode, id)
			require.Equal(c, d.want.GPUs, got.Gpus, id)
			for _, role := range got.Roles {
				if n, ok := d.want.Replicas[role.Name]; ok {
					require.Equal(c, n, role.Desired, id)
				}
			}
		}
	}, patience, 100*time.Millisecond)
}

// attempt makes an error of a test that fails, for a goroutine that is not the test's.
func attempt(test func(require.TestingT)) (err error) {
	defer func() {
		if failure, ok := recover().(*attempted); ok {
			err = failure
		}
	}()
	test(&attempted{})
	return nil
}

type attempted struct{ text string }

func (a *attempted) Error() string                     { return a.text }
func (a *attempted) Errorf(format string, args ...any) { a.text += fmt.Sprintf(format, args...) }
func (a *attempted) FailNow()                          { panic(a) }

func servedIsOwn(d drawn) bool { return d.config.ServedModelName != "" || d.config.PremadeModel != "" }

// servedOf is the served name that a runtime falls back to, which may be the deployment's.
func servedOf(rt runtimes.Runtime, c *api.DeploymentConfig) string {
	if rt.Info().ID == "kuberay" {
		return c.ModelId
	}
	return c.Name
}

func createOne(t require.TestingT, p person, d drawn) {
	var preview api.DeploymentPreview
	p.ask(t, http.MethodPost, "/api/deployments/preview", d.config, http.StatusOK, &preview)
	require.NotNil(t, preview.DryRun.Accepted, preview.DryRun.Message)
	require.True(t, *preview.DryRun.Accepted, preview.DryRun.Message)
	var created api.DeploymentCreated
	p.ask(t, http.MethodPost, "/api/deployments", d.config, http.StatusCreated, &created)
	require.Equal(t, d.config.Provider, created.Provider)
	var live api.DeploymentManifests
	p.ask(t, http.MethodGet, p.path(d.config.Name, "/manifest"), nil, http.StatusOK, &live)
	require.Empty(t, live.Warnings)
	require.Len(t, live.Resources, len(preview.Resources))
	for _, previewed := range preview.Resources {
		found := false
		for _, there := range live.Resources {
			if there.Kind == previewed.Kind && there.Name == previewed.Name {
				found = true
				require.Empty(t, missing(previewed.Manifest, there.Manifest, ""), "what was previewed is what is there")
				require.NotContains(t, there.Manifest["metadata"], "managedFields")
			}
		}
		require.True(t, found, previewed.Name)
	}
}

// missing is where a value is not part of another: the API server may add fields.
func missing(part, whole any, path string) string {
	switch part := part.(type) {
	case map[string]any:
		m, ok := whole.(map[string]any)
		if !ok {
			return path
		}
		for name, value := range part {
			if where := missing(value, m[name], path+"."+name); where != "" {
				return where
			}
		}
		return ""
	case []any:
		list, ok := whole.([]any)
		if !ok || len(list) != len(part) {
			return path
		}
		for i := range part {
			if where := missing(part[i], list[i], fmt.Sprintf("%s.%d", path, i)); where != "" {
				return where
			}
		}
		return ""
	}
	if part != whole {
		return fmt.Sprintf("%s: %v, not %v", path, whole, part)
	}
	return ""
}
