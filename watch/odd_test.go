package watch

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/kaito"
)

// oddRuntime is KAITO with changes.
type oddRuntime struct {
	runtimes.Runtime
	versions []string
	panics   bool
}

func (o oddRuntime) Info() runtimes.Info {
	info := o.Runtime.Info()
	if o.versions != nil {
		info.Resource.Versions = o.versions
	}
	return info
}

func (o oddRuntime) Project(u *unstructured.Unstructured) runtimes.Projection {
	if o.panics && u.GetName() == "odd" {
		panic("odd")
	}
	return o.Runtime.Project(u)
}

func (o oddRuntime) PodClaims(p *corev1.Pod) []string {
	if o.panics && p.Name == "odd" {
		panic("odd")
	}
	return o.Runtime.PodClaims(p)
}

func TestAnObjectThatCannotBeReadStopsNobodyElse(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	c.workspace(t, ns, "odd")
	c.workspace(t, ns, "plain")
	c.pod(t, ns, "odd", "", 0, map[string]string{workspaceLabel: "plain"})
	c.pod(t, ns, "plain", "", 0, map[string]string{workspaceLabel: "plain"})
	r, _ := c.watcher(t, func(o *Options) { o.Runtimes = []runtimes.Runtime{oddRuntime{Runtime: kaito.New(), panics: true}} })
	awaits(t, r, api.DeploymentKey(ns, "kaito", "plain"), func(d api.Deployment) bool { return d.PodCount == 1 })
	doc := awaits(t, r, api.DeploymentKey(ns, "kaito", "odd"), func(api.Deployment) bool { return true })
	require.Equal(t, "This Workspace cannot be read: odd", doc.Message)
}

func TestAResourceServedOnlyInUnknownVersionsSaysSo(t *testing.T) {
	c := needCluster(t)
	r, _ := c.watcher(t, func(o *Options) {
		o.Runtimes = []runtimes.Runtime{oddRuntime{Runtime: kaito.New(), versions: []string{"v9"}}}
	})
	state := awaits(t, r, api.SourcesKey(api.KindDeployments), func(s api.KindState) bool {
		return sourceOf(s, "workspaces.kaito.sh").State == api.SourceStateFailed
	})
	require.False(t, state.Synced)
	require.Contains(t, state.Error, "workspaces.kaito.sh is served as")
	require.Contains(t, state.Error, "only v9 can")
	runtime := awaits(t, r, api.RuntimeKey("kaito"), func(r api.Runtime) bool { return r.Installed })
	require.Empty(t, runtime.Crd.Version)
	require.False(t, runtime.Healthy)
	require.Contains(t, runtime.Message, "only v9 can")
}

func TestAWarningIsAReasonWhileItLasts(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	key := api.DeploymentKey(ns, "kaito", "llama")
	object := c.workspace(t, ns, "llama")
	warned := func(d api.Deployment) bool {
		return slices.ContainsFunc(d.Reasons, func(r api.Reason) bool { return r.Reason == "NoCapacity" })
	}
	awaits(t, r, key, func(d api.Deployment) bool { return !warned(d) })
	now := metav1.Now()
	events := c.kube.CoreV1().Events(ns)
	_, err := events.Create(t.Context(), &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "llama.1"},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kaito.sh/v1beta1", Kind: "Workspace", Namespace: ns, Name: "llama", UID: object.GetUID(),
		},
		Type: corev1.EventTypeWarning, Reason: "NoCapacity", Message: "no node of this kind is to be had", FirstTimestamp: now, LastTimestamp: now,
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	awaits(t, r, key, warned)
	require.NoError(t, events.Delete(t.Context(), "llama.1", metav1.DeleteOptions{}))
	awaits(t, r, key, func(d api.Deployment) bool { return !warned(d) })
}

func TestMetricsLastAsLongAsTheWatcher(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	registry := prometheus.NewPedanticRegistry()
	r, stop := c.watcher(t, func(o *Options) { o.Registerer = registry })
	r.synced(t, api.Kinds()...)
	c.workspace(t, ns, "llama")
	awaits(t, r, api.DeploymentKey(ns, "kaito", "llama"), func(api.Deployment) bool { return true })
	families, err := registry.Gather()
	require.NoError(t, err)
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	for _, name := range []string{"documents", "recomputations_total", "publish_seconds", "queue_depth", "source_state"} {
		require.Contains(t, names, "kubefoundry_watch_"+name)
	}
	stop()
	families, err = registry.Gather()
	require.NoError(t, err)
	require.Empty(t, families)
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := New(Options{})
	require.ErrorIs(t, err, errNoPublisher)
	_, err = New(Options{Publisher: newRecorder()})
	require.ErrorIs(t, err, errNoConfig)
	o, err := Options{Publisher: newRecorder(), Namespaces: []string{"b", "a", "b"}}.completed()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, o.scopes())
	o.Namespaces = nil
	require.Equal(t, []string{""}, o.scopes())
}
