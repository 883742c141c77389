package metrics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// deployments are those of the cluster that run, with their pods, as the view has them.
func deployments(t *testing.T, config *rest.Config) map[*api.Deployment][]api.Pod {
	t.Helper()
	objects, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	core, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	all, err := core.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	found := map[*api.Deployment][]api.Pod{}
	for _, r := range registry.All() {
		resource := r.Info().Resource
		list, err := objects.Resource(schema.GroupVersionResource{Group: resource.Group, Version: resource.Versions[0], Resource: resource.Plural}).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for i := range list.Items {
			p := r.Project(&list.Items[i])
			pods := podsOf(r, p, all.Items)
			if p.Deployment.Phase == api.PhaseRunning && !slices.ContainsFunc(pods, func(p api.Pod) bool { return !p.Ready }) {
				found[&p.Deployment] = pods
			}
		}
	}
	return found
}

func podsOf(r runtimes.Runtime, p runtimes.Projection, all []corev1.Pod) (pods []api.Pod) {
	for i := range all {
		pod := &all[i]
		if pod.Namespace != p.Deployment.Namespace || !slices.ContainsFunc(r.PodClaims(pod), func(c string) bool { return slices.Contains(p.Claims, c) }) {
			continue
		}
		ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		pods = append(pods, api.Pod{Namespace: pod.Namespace, Name: pod.Name, Ready: ready, Role: r.PodRole(pod)})
	}
	return pods
}

// TestEveryDeploymentOfTheDemo: of each runtime and engine, aggregated and not, with one replica and several, with the right to
// pods and without, there are figures, from the right port.
func TestEveryDeploymentOfTheDemo(t *testing.T) {
	cluster := shared.Cluster(t)
	config := cluster.Config()
	c := New(t.Context())
	var all map[*api.Deployment][]api.Pod
	seen := map[string]int{}
	require.Eventually(t, func() bool {
		clear(seen)
		all = deployments(t, config)
		for d, pods := range all {
			seen[d.Provider+" "+string(d.Engine)]++
			seen[d.Provider+" "+string(d.Mode)]++
			if front, _ := parts(d, pods); len(front) > 1 {
				seen[d.Provider+" replicas"]++
			}
		}
		for _, kind := range []string{"kaito vllm", "kaito llamacpp", "kuberay vllm", "dynamo vllm", "dynamo sglang", "dynamo trtllm", "dynamo disaggregated", "kuberay disaggregated", "kuberay replicas"} {
			if seen[kind] == 0 {
				return false
			}
		}
		return true
	}, time.Minute, 500*time.Millisecond, "%v", seen)
	for _, mayPods := range []bool{true, false} {
		entries := map[*api.Deployment]*entry{}
		began := map[*api.Deployment]time.Time{}
		for d, pods := range all {
			entries[d] = &entry{histories: map[Target]*history{}}
			_, err := c.collect(t.Context(), Plan(d, pods, mayPods), config, entries[d])
			require.NoError(t, err)
			began[d] = time.Now()
		}
		for d, pods := range all {
			time.Sleep(time.Until(began[d].Add(3 * time.Second)))
			plan := Plan(d, pods, mayPods)
			collection, err := c.collect(t.Context(), plan, config, entries[d])
			require.NoError(t, err)
			got := collection.Answer
			what := d.Id + " " + string(d.Engine)
			require.True(t, got.Available, "%s: %s", what, got.Error)
			require.Empty(t, got.Error, what)
			require.Equal(t, len(plan.Targets), got.Derived.Targets, what)
			require.NotNil(t, got.Derived.RequestsRunning, what)
			require.NotNil(t, got.Derived.RequestsWaiting, what)
			if !(d.Provider == "kuberay") {
				require.NotNil(t, got.Derived.KvCacheUsage, what)
				require.LessOrEqual(t, *got.Derived.KvCacheUsage, 1., what)
			}
			if plan.GaugesOnly {
				require.Nil(t, got.Derived.RequestLatency, what)
				require.Contains(t, got.Derived.Partial, "pods/proxy", what)
				continue
			}
			require.Greater(t, got.Derived.Window, 2.5, what)
			if d.Provider != "kuberay" { // whose stand-in counts only requests, which are few
				require.NotNil(t, got.Derived.GenerationTokensPerSecond, what)
				require.Positive(t, *got.Derived.GenerationTokensPerSecond, what)
			}
			if d.Engine != api.EngineLlamacpp {
				require.NotNil(t, got.Derived.RequestsPerSecond, what)
				require.Less(t, *got.Derived.RequestsPerSecond, 10*float64(max(1, len(pods))), what)
			}
		}
	}
}

// text is printed as it is then, not as it was when it was handed over.
type text string

func (t *text) String() string { return string(*t) }

// TestWhatTheKubernetesAPISays of servers that cannot be asked, each told from the others.
func TestWhatTheKubernetesAPISays(t *testing.T) {
	cluster := shared.Cluster(t)
	config := cluster.Config()
	core, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	namespace := devcluster.Namespace(t, cluster)
	service := func(name string, port, target int32) Target {
		_, err := core.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"kaito.sh/workspace": "llama"},
				Ports:    []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(target)}},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		return Target{Namespace: namespace, Resource: "services", Name: name, Port: int(port)}
	}
	pod := func(name, behaviour string) Target {
		_, err := core.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Labels: map[string]string{"kaito.sh/workspace": "llama"},
				Annotations: map[string]string{"devcluster.kubefoundry.io/behaviour": behaviour, "devcluster.kubefoundry.io/delay": "10m"},
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "model", Image: "ghcr.io/kaito-project/aikit/llama3.2:1b", Args: []string{"run", "--address=:5000"},
				Ports: []corev1.ContainerPort{{ContainerPort: 5000}},
			}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			p, err := core.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
			require.NoError(t, err)
			return p.Status.Phase == corev1.PodRunning
		}, 30*time.Second, 20*time.Millisecond)
		return Target{Namespace: namespace, Resource: "pods", Name: name, Port: 5000}
	}
	right, wrong := service("llama", 80, 5000), service("wrong", 80, 4711)
	is := func(target Target, want api.MetricsUnavailable) {
		t.Helper()
		var last text
		require.Eventually(t, func() bool { // the API server hears of pods and their addresses a little later
			samples, f, err := scrape(t.Context(), config, target)
			if want == "" {
				return err == nil && f == nil && len(samples) > 0
			}
			last = text(fmt.Sprintf("%+v %v", f, err))
			return f != nil && f.reason == want
		}, 20*time.Second, 100*time.Millisecond, "%s %s: %s", target, want, &last)
	}
	is(right, api.MetricsUnavailableNoEndpoints)
	other := right
	other.Port = 81
	is(other, api.MetricsUnavailableNoService)
	other.Name = "none"
	is(other, api.MetricsUnavailableNoService)
	other.Resource = "pods"
	is(other, api.MetricsUnavailableNoService)

	is(pod("loading", "slow"), api.MetricsUnavailableNotReady)
	is(right, api.MetricsUnavailableNoEndpoints)

	loaded := pod("loaded", "ready")
	is(loaded, "")
	is(right, "")
	is(wrong, api.MetricsUnavailableUnreachable) // the way into this cluster leads through a proxy that says no more

	somebody := cluster.ServiceAccount(t, namespace, "somebody")
	_, f, err := scrape(t.Context(), somebody.Config(), right)
	require.Nil(t, f)
	require.True(t, apierrors.IsForbidden(err), err)
	require.Contains(t, err.Error(), "services/proxy")
}

// TestRights: they are asked as the API server will ask, so that a role for one Service alone is enough for that, and they are
// believed for a while.
func TestRights(t *testing.T) {
	cluster := shared.Cluster(t)
	namespace := devcluster.Namespace(t, cluster)
	target := Target{Namespace: namespace, Resource: "services", Name: "llama", Port: 80}
	for name, tt := range map[string]struct {
		rule           rbacv1.PolicyRule
		services, pods bool
	}{
		"none":        {rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services", "pods"}, Verbs: []string{"get", "list"}}, false, false},
		"services":    {rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services/proxy"}, Verbs: []string{"get"}}, true, false},
		"one-service": {rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services/proxy"}, Verbs: []string{"get"}, ResourceNames: []string{"http:llama:80"}}, true, false},
		"another":     {rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services/proxy"}, Verbs: []string{"get"}, ResourceNames: []string{"http:other:80"}}, false, false},
		"both":        {rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services/proxy", "pods/proxy"}, Verbs: []string{"get"}}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRights()
			who := cluster.ServiceAccount(t, namespace, strings.ReplaceAll(name, " ", "-"))
			cluster.BindIn(t, namespace, who.Subject(), cluster.Role(t, "metrics", tt.rule))
			for range 3 {
				until, services, err := r.Services(t.Context(), who.Config(), target)
				require.NoError(t, err)
				require.Equal(t, tt.services, services)
				require.WithinDuration(t, time.Now().Add(believed), until, believed/2)
				_, pods, err := r.Pods(t.Context(), who.Config(), namespace)
				require.NoError(t, err)
				require.Equal(t, tt.pods, pods)
			}
			require.Equal(t, 2, r.answers.Len())
			_, allowed, err := r.Services(t.Context(), cluster.Config(), target)
			require.NoError(t, err)
			require.True(t, allowed, "the administrator is somebody else")
		})
	}
	t.Run("edit has both, view has none", func(t *testing.T) {
		for role, want := range map[string]bool{"edit": true, "view": false} {
			who := cluster.ServiceAccount(t, namespace, "with-"+role)
			cluster.BindIn(t, namespace, who.Subject(), role)
			_, services, err := NewRights().Services(t.Context(), who.Config(), target)
			require.NoError(t, err)
			require.Equal(t, want, services, role)
		}
	})
}
