package deploying

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// TestScale scales every runtime by roles, and looks on the stream.
func TestScale(t *testing.T) {
	g := newRig(t)
	namespace := devcluster.Namespace(t, g.cluster)
	editor := g.person(t, namespace, "editor", append(crs(all...), companions(all...)...)...)
	viewer := g.person(t, namespace, "viewer", append(crs(see...), companions(see...)...)...)
	seen := editor.follow(t)
	configs := map[string]object{
		"w": {"provider": "kaito", "modelSource": "premade", "premadeModel": "llama3.2:1b", "computeType": "gpu"},
		"r": {"provider": "kuberay", "modelId": "org/model"},
		"p": {"provider": "kuberay", "modelId": "org/model", "mode": "disaggregated"},
		"g": {"provider": "dynamo", "modelId": "org/model", "engine": "sglang"},
		"d": {"provider": "dynamo", "modelId": "org/model", "engine": "vllm", "mode": "disaggregated", "decodeReplicas": 2},
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		c["name"], c["namespace"] = name, namespace
		var made api.DeploymentCreated
		editor.ask(t, http.MethodPost, "/api/deployments", c, http.StatusCreated, &made)
	}
	shows := func(name string, want map[string]int) {
		t.Helper()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			d := seen()[api.DeploymentKey(namespace, configs[name]["provider"].(string), name).ID]
			got := map[string]int{}
			for _, role := range d.Roles {
				if _, ok := want[role.Name]; ok {
					got[role.Name] = role.Desired
				}
			}
			require.Equal(c, want, got)
		}, patience, 20*time.Millisecond)
	}
	var scaled api.Scaled
	for _, name := range []string{"w", "r", "g"} {
		for _, n := range []int{3, 0, 1} {
			editor.ask(t, http.MethodPatch, editor.path(name, ""), object{"replicas": n}, http.StatusOK, &scaled)
			require.Equal(t, n, scaled.Roles["worker"])
			require.Equal(t, "Deployment scaled successfully", scaled.Message)
			shows(name, map[string]int{"worker": n})
		}
		scaled = api.Scaled{}
		editor.ask(t, http.MethodPatch, editor.path(name, ""), object{"replicas": 1, "seen": object{"worker": 1}}, http.StatusOK, &scaled)
		require.Equal(t, "Deployment has these replicas already", scaled.Message)
		require.Empty(t, scaled.Warnings)
	}
	for _, name := range []string{"p", "d"} {
		editor.ask(t, http.MethodPatch, editor.path(name, ""), object{"roles": object{"prefill": 4}}, http.StatusOK, &scaled)
		decode := scaled.Roles["decode"]
		shows(name, map[string]int{"prefill": 4, "decode": decode})
		require.Contains(t, scaled.Warnings[0], "Insufficient cluster GPUs: all replicas together ask for 3")
		editor.ask(t, http.MethodPatch, editor.path(name, ""), object{"roles": object{"prefill": 0, "decode": 5}, "seen": object{"prefill": 4}}, http.StatusOK, &scaled)
		shows(name, map[string]int{"prefill": 0, "decode": 5})
		e := editor.refused(t, http.MethodPatch, editor.path(name, ""), object{"replicas": 2}, http.StatusBadRequest, api.ErrorCodeInvalidRequest)
		require.Contains(t, e.Message, "roles: prefill, decode")
		e = editor.refused(t, http.MethodPatch, editor.path(name, ""), object{"roles": object{"prefill": 1}, "seen": object{"prefill": 4}}, http.StatusConflict, api.ErrorCodeConflict)
		require.Contains(t, e.Message, "prefill has 0 replicas by now, not 4")
	}
	e := editor.refused(t, http.MethodPatch, editor.path("d", ""), object{"roles": object{"nobody": 1, "planner": 2}}, http.StatusBadRequest, api.ErrorCodeInvalidRequest)
	require.Len(t, e.Details, 2)
	for _, body := range []any{object{}, object{"replicas": -1}, object{"replicas": "x"}, object{"replicas": 1, "roles": object{"worker": 1}}, object{"other": 1}, nil} {
		editor.refused(t, http.MethodPatch, editor.path("w", ""), body, http.StatusBadRequest, api.ErrorCodeInvalidRequest)
	}
	editor.refused(t, http.MethodPatch, editor.path("nobody", ""), object{"replicas": 1}, http.StatusNotFound, api.ErrorCodeNotFound)
	viewer.refused(t, http.MethodPatch, viewer.path("w", ""), object{"replicas": 2}, http.StatusForbidden, api.ErrorCodeForbidden)
	var live api.DeploymentManifests
	viewer.ask(t, http.MethodGet, viewer.path("w", "/manifest"), nil, http.StatusOK, &live)
	require.InDelta(t, 1, live.Resources[0].Manifest["resource"].(map[string]any)["count"], 0)
	require.Equal(t, "Workspace", live.PrimaryResource.Kind)

	// The object as the operator of an earlier deployment of this name left it must not be scaled.
	require.NoError(t, g.dynamic.Resource(workspaces).Namespace(namespace).Delete(t.Context(), "w", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return !g.there(t, namespace, "w") }, patience, 20*time.Millisecond)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.NotContains(c, seen(), api.DeploymentKey(namespace, "kaito", "w").ID)
	}, patience, 20*time.Millisecond)
}
