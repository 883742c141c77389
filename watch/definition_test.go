package watch

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

func sourceOf(state api.KindState, resource string) api.Source {
	for _, source := range state.Sources {
		if source.Resource == resource {
			return source
		}
	}
	return api.Source{}
}

func TestADefinitionComesAndGoesWithoutARestart(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	r.synced(t, api.Kinds()...)
	const resource = "workspaces.kaito.sh"
	c.workspace(t, ns, "before")
	c.pod(t, ns, "p", "", 0, map[string]string{workspaceLabel: "before"})
	awaits(t, r, api.PodKey(ns, "p"), func(api.Pod) bool { return true })
	runtime := awaits(t, r, api.RuntimeKey("kaito"), func(r api.Runtime) bool { return r.Installed })
	require.Equal(t, "v1beta1", runtime.Crd.Version)
	require.False(t, runtime.Healthy, "there is no operator: %s", runtime.Message)

	require.NoError(t, c.dynamic.Resource(devcluster.Definitions()).Delete(t.Context(), resource, metav1.DeleteOptions{}))
	r.gone(t, api.DeploymentKey(ns, "kaito", "before"))
	r.gone(t, api.PodKey(ns, "p"))
	runtime = awaits(t, r, api.RuntimeKey("kaito"), func(r api.Runtime) bool { return !r.Installed })
	require.Empty(t, runtime.Crd.ServedVersions)
	awaits(t, r, api.SourcesKey(api.KindDeployments), func(s api.KindState) bool {
		return s.Synced && sourceOf(s, resource).State == api.SourceStateAbsent
	})

	require.NoError(t, c.Define(t.Context(), resource))
	awaits(t, r, api.RuntimeKey("kaito"), func(r api.Runtime) bool { return r.Installed })
	awaits(t, r, api.SourcesKey(api.KindDeployments), func(s api.KindState) bool {
		return s.Synced && sourceOf(s, resource).State == api.SourceStateSynced
	})
	c.workspace(t, ns, "after")
	awaits(t, r, api.DeploymentKey(ns, "kaito", "after"), func(api.Deployment) bool { return true })
}

func TestAVersionThatIsNoLongerServedIsLeft(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	c.workspace(t, ns, "old")
	r, _ := c.watcher(t, nil)
	key := api.DeploymentKey(ns, "kaito", "old")
	r.synced(t, api.KindDeployments)
	doc := awaits(t, r, key, func(d api.Deployment) bool { return d.Resource.Version == "v1beta1" })
	serve := func(ctx context.Context, beta bool) {
		crd, err := c.dynamic.Resource(devcluster.Definitions()).Get(ctx, "workspaces.kaito.sh", metav1.GetOptions{})
		require.NoError(t, err)
		patch := `[`
		for i, v := range crd.Object["spec"].(map[string]any)["versions"].([]any) {
			if v.(map[string]any)["name"] == "v1beta1" {
				patch += `{"op":"replace","path":"/spec/versions/` + string(rune('0'+i)) + `/served","value":` + map[bool]string{true: "true", false: "false"}[beta] + `}]`
			}
		}
		_, err = c.dynamic.Resource(devcluster.Definitions()).Patch(ctx, "workspaces.kaito.sh", types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	serve(t.Context(), false)
	t.Cleanup(func() { serve(context.WithoutCancel(t.Context()), true) })
	awaits(t, r, api.SourcesKey(api.KindDeployments), func(s api.KindState) bool {
		source := sourceOf(s, "workspaces.kaito.sh")
		return s.Synced && source.State == api.SourceStateSynced && source.Version == "v1alpha1"
	})
	now := awaits(t, r, key, func(d api.Deployment) bool { return d.Resource.Version == "v1alpha1" })
	require.Equal(t, doc.Name, now.Name)
	require.NotContains(t, r.history(), "delete deployments "+key.ID, "the deployment was there all the time")
}

func TestReadableTakesTheRuntimesOrder(t *testing.T) {
	resource := runtimes.Resource{Versions: []string{"v1beta1", "v1alpha1"}}
	version, ok := readable(resource, []string{"v1alpha1", "v1beta1", "v2"})
	require.True(t, ok)
	require.Equal(t, "v1beta1", version)
	_, ok = readable(resource, []string{"v2"})
	require.False(t, ok)
	_, ok = readable(resource, nil)
	require.False(t, ok)
}
