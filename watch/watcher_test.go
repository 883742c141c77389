package watch

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

const workspaceLabel = "kaito.sh/workspace"

func TestADeploymentFollowsItsCustomResource(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	r.synced(t, api.Kinds()...)
	key := api.DeploymentKey(ns, "kaito", "llama")

	c.workspace(t, ns, "llama")
	doc := awaits(t, r, key, func(d api.Deployment) bool { return d.Name == "llama" })
	require.Equal(t, api.PhasePending, doc.Phase)
	require.Equal(t, doc.CreatedAt, doc.UpdatedAt, "a deployment just created has not changed since")

	c.patchWorkspace(t, ns, "llama", `{"status":{"conditions":[{"type":"WorkspaceSucceeded","status":"True","reason":"ok","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"},`+
		`{"type":"ResourceReady","status":"True","reason":"ok","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"},`+
		`{"type":"InferenceReady","status":"True","reason":"ok","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, "status")
	doc = awaits(t, r, key, func(d api.Deployment) bool { return d.Phase == api.PhaseRunning })
	require.True(t, doc.UpdatedAt.After(doc.CreatedAt))

	require.NoError(t, c.dynamic.Resource(workspaces).Namespace(ns).Delete(t.Context(), "llama", metav1.DeleteOptions{}))
	r.gone(t, key)

	created, ok := r.happened(key, api.EventCreated)
	require.True(t, ok)
	require.NotNil(t, created.Document)
	changed, ok := r.happened(key, api.EventPhaseChanged)
	require.True(t, ok)
	require.Contains(t, changed.Message, "-> Running")
	deleted, ok := r.happened(key, api.EventDeleted)
	require.True(t, ok)
	require.Nil(t, deleted.Document)
	require.NotNil(t, deleted.Previous)
}

func TestPodsBelongToTheDeploymentWhoseClaimTheyCarry(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	r.synced(t, api.KindDeployments, api.KindPods)
	one, two := api.DeploymentKey(ns, "kaito", "one"), api.DeploymentKey(ns, "kaito", "two")
	pod := api.PodKey(ns, "p")

	c.pod(t, ns, "p", "", 0, map[string]string{workspaceLabel: "one"})
	c.pod(t, ns, "stranger", "", 0, map[string]string{"app": "web"})
	r.quiet(t)
	require.NotContains(t, r.snapshot(), pod, "a pod of no deployment is not shown")

	c.workspace(t, ns, "one")
	c.workspace(t, ns, "two")
	awaits(t, r, pod, func(p api.Pod) bool { return p.Deployment == one.ID })
	awaits(t, r, one, func(d api.Deployment) bool { return d.PodCount == 1 && d.Pods[0].Name == "p" })

	c.patchPod(t, ns, "p", `{"metadata":{"labels":{"`+workspaceLabel+`":"two"}}}`)
	awaits(t, r, pod, func(p api.Pod) bool { return p.Deployment == two.ID })
	awaits(t, r, two, func(d api.Deployment) bool { return d.PodCount == 1 })
	awaits(t, r, one, func(d api.Deployment) bool { return d.PodCount == 0 })

	c.patchPod(t, ns, "p", `{"status":{"phase":"Running","containerStatuses":[{"name":"model","image":"i","imageID":"i","restartCount":3,"ready":false,`+
		`"state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}}]}}`, "status")
	awaits(t, r, pod, func(p api.Pod) bool { return p.Restarts == 3 })
	eventually(t, "the crash is told", func() bool {
		event, ok := r.happened(pod, api.EventPodCrashed)
		return ok && strings.Contains(event.Message, "OOMKilled")
	})

	require.NoError(t, c.dynamic.Resource(workspaces).Namespace(ns).Delete(t.Context(), "two", metav1.DeleteOptions{}))
	r.gone(t, two)
	r.gone(t, pod)
	require.NotContains(t, r.snapshot(), api.PodKey(ns, "stranger"))
}

func TestNodesHaveTheGPUsThatTheirPodsHold(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	r.synced(t, api.KindNodes, api.KindPools, api.KindCapacity)
	node := api.NodeKey("gpu-a-" + ns)
	base := awaits(t, r, api.CapacityKey(), func(api.GpuTotals) bool { return true })
	pools := awaits(t, r, api.PoolsKey(), func(p api.NodePools) bool { return p.NodePools != nil })
	sums := func(gpus, available int) { // the two documents are made one after the other
		t.Helper()
		awaits(t, r, api.CapacityKey(), func(c api.GpuTotals) bool {
			return c.TotalGpus == base.TotalGpus+gpus && c.AvailableGpus == base.AvailableGpus+available
		})
		awaits(t, r, api.PoolsKey(), func(p api.NodePools) bool {
			total, free := base.TotalGpus+gpus, base.AvailableGpus+available
			for _, pool := range p.NodePools {
				total, free = total-pool.GpuCount, free-pool.AvailableGpus
			}
			return total == 0 && free == 0
		})
	}

	c.node(t, node.ID, 8)
	awaits(t, r, node, func(n api.Node) bool { return n.GpuCount == 8 && n.AvailableGpus == 8 })
	sums(8, 8)
	eventually(t, "the gain is told", func() bool {
		event, ok := r.happened(api.CapacityKey(), api.EventGPUsGained)
		return ok && strings.Contains(event.Message, "8 GPUs more")
	})

	c.pod(t, ns, "on-it", node.ID, 3, nil)
	c.pod(t, ns, "waiting", "", 2, nil)
	awaits(t, r, node, func(n api.Node) bool { return n.AllocatedGpus == 3 && n.AvailableGpus == 5 })
	sums(8, 5)
	awaits(t, r, api.CapacityKey(), func(c api.GpuTotals) bool {
		return c.TotalGpus == base.TotalGpus+8 && c.AllocatedGpus == base.AllocatedGpus+3 && c.PendingGpus == base.PendingGpus+2
	})

	c.patchPod(t, ns, "on-it", `{"status":{"phase":"Succeeded"}}`, "status")
	awaits(t, r, node, func(n api.Node) bool { return n.AllocatedGpus == 0 })
	sums(8, 8)
	c.deletePod(t, ns, "waiting")
	awaits(t, r, api.CapacityKey(), func(c api.GpuTotals) bool {
		return c.PendingGpus == base.PendingGpus && c.AllocatedGpus == base.AllocatedGpus
	})

	require.NoError(t, c.kube.CoreV1().Nodes().Delete(t.Context(), node.ID, metav1.DeleteOptions{}))
	r.gone(t, node)
	eventually(t, "the loss is told", func() bool {
		event, ok := r.happened(api.CapacityKey(), api.EventGPUsLost)
		return ok && strings.Contains(event.Message, "8 GPUs lost")
	})
	sums(0, 0)
	awaits(t, r, api.PoolsKey(), func(p api.NodePools) bool { return slices.Equal(p.NodePools, pools.NodePools) })
	_, ok := r.happened(api.PoolsKey(), api.EventChanged)
	require.True(t, ok)
	for _, change := range []api.EventChange{api.EventGPUsGained, api.EventGPUsLost, api.EventDeleted} {
		_, ok := r.happened(api.PoolsKey(), change)
		require.False(t, ok, "%s of pools", change)
	}
	require.NotContains(t, string(r.snapshot()[api.CapacityKey()]), "nodePools", "totals name nothing")
}

func TestWhatChangesNoDocumentPublishesNothing(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	c.workspace(t, ns, "still")
	c.pod(t, ns, "p", "", 1, map[string]string{workspaceLabel: "still"})
	r, _ := c.watcher(t, nil)
	r.synced(t, api.Kinds()...)
	r.quiet(t)
	mine := func() []string { // other tests' namespaces are still being deleted
		return slices.DeleteFunc(r.history(), func(line string) bool { return !strings.Contains(line, ns) })
	}
	before := mine()
	for _, value := range []string{"1", "2", "3"} {
		patch := `{"metadata":{"annotations":{"example.com/touched":"` + value + `"}}}`
		c.patchWorkspace(t, ns, "still", patch)
		c.patchPod(t, ns, "p", patch)
	}
	r.quiet(t)
	require.Equal(t, before, mine())
	require.Equal(t, 1, r.count(api.DeploymentKey(ns, "kaito", "still")))
}

func TestAKindIsSyncedOnlyAfterItWasPutAndSettled(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	for _, name := range []string{"a", "b", "c"} {
		c.workspace(t, ns, name)
		c.pod(t, ns, name, "", 0, map[string]string{workspaceLabel: name})
	}
	r, _ := c.watcher(t, nil)
	r.synced(t, api.Kinds()...)
	log := r.history()
	for _, kind := range api.Kinds() {
		settled := slices.Index(log, "settle "+string(kind))
		synced := slices.Index(log, "put sources "+string(kind)+" synced=true")
		require.GreaterOrEqual(t, settled, 0, "%s", kind)
		require.Greater(t, synced, settled, "%s", kind)
	}
	for _, name := range []string{"a", "b", "c"} {
		require.Less(t, slices.Index(log, "put deployments "+ns+"/kaito/"+name), slices.Index(log, "settle deployments"))
		require.Less(t, slices.Index(log, "put pods "+ns+"/"+name), slices.Index(log, "settle pods"))
		require.Equal(t, 1, r.count(api.DeploymentKey(ns, "kaito", name)), "no half-known deployment on the way")
	}
	require.False(t, slices.ContainsFunc(r.events, func(e api.Event) bool { return e.Key.Namespace == ns }), "what was there before is no news")
	state, ok := read[api.ClusterState](t, r, api.ClusterKey())
	require.True(t, ok)
	require.True(t, state.Connected)
	require.NotEmpty(t, state.KubernetesVersion)
}

func TestARestartPublishesTheSameDocuments(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	c.workspace(t, ns, "same")
	c.pod(t, ns, "p", "", 1, map[string]string{workspaceLabel: "same"})
	first, stop := c.watcher(t, nil)
	first.synced(t, api.Kinds()...)
	first.quiet(t)
	stop()
	second, _ := c.watcher(t, nil)
	second.synced(t, api.Kinds()...)
	second.quiet(t)
	before, after := first.snapshot(), second.snapshot()
	for key, doc := range before {
		if key.Namespace == ns {
			require.Equal(t, string(doc), string(after[key]), "%s", key)
		}
	}
}
