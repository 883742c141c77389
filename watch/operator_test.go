package watch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes/kuberay"
)

func TestARuntimeIsHealthyWhenItsOperatorIs(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	key := api.RuntimeKey("kuberay")
	doc := awaits(t, r, key, func(r api.Runtime) bool { return r.Installed })
	require.Nil(t, doc.Operator)
	require.Equal(t, "rayservices.ray.io is served, but no operator of "+doc.Name+" was found: nothing will run.", doc.Message)

	op := kuberay.New().Info().Operator
	labels := map[string]string{op.Label: op.Values[0]}
	none := int32(0)
	deployments := c.kube.AppsV1().Deployments(ns)
	_, err := deployments.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "ray-op", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "manager", Image: "quay.io:443/kuberay/operator:v1.7.0@sha256:0123456789012345678901234567890123456789012345678901234567890123"}},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	doc = awaits(t, r, key, func(r api.Runtime) bool { return r.Operator != nil })
	require.False(t, doc.Healthy)
	require.Equal(t, "The operator "+ns+"/ray-op is scaled to zero.", doc.Message)
	require.Equal(t, "v1.7.0", doc.Version)

	// Pods that nobody runs: the controller counts them as soon as they say that they are ready.
	_, err = deployments.Patch(t.Context(), "ray-op", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	awaits(t, r, key, func(r api.Runtime) bool { return r.Operator.Desired == 1 && r.Operator.Available == 0 })
	var pods *corev1.PodList
	eventually(t, "the operator's pod is made", func() bool {
		pods, err = c.kube.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		return err == nil && len(pods.Items) == 1
	})
	c.patchPod(t, ns, pods.Items[0].Name, `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, "status")
	doc = awaits(t, r, key, func(r api.Runtime) bool { return r.Healthy })
	require.Equal(t, doc.Name+" is installed and its operator runs.", doc.Message)
}

func TestTheAutoscalerIsReadFromItsStatus(t *testing.T) {
	c := needCluster(t)
	r, _ := c.watcher(t, nil)
	r.synced(t, api.KindAutoscaler)
	awaits(t, r, api.AutoscalerKey(), func(a api.Autoscaler) bool { return !a.Detection.Detected })
	maps := c.kube.CoreV1().ConfigMaps("kube-system")
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-autoscaler-status"},
		Data:       map[string]string{"status": "time: " + time.Now().UTC().Format("2006-01-02 15:04:05 -0700 MST") + "\nautoscalerStatus: Running\n"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = maps.Delete(context.WithoutCancel(t.Context()), "cluster-autoscaler-status", metav1.DeleteOptions{})
	})
	awaits(t, r, api.AutoscalerKey(), func(a api.Autoscaler) bool { return a.Detection.Detected && a.Detection.Healthy })
}

func TestOperatorVersion(t *testing.T) {
	for image, want := range map[string]string{
		"kuberay/operator:v1.7.0":      "v1.7.0",
		"registry:5000/operator":       "",
		"registry:5000/operator:2.0":   "2.0",
		"operator:latest":              "",
		"operator:nightly@sha256:0123": "",
	} {
		d := &appsv1.Deployment{}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "operator", Image: image}}
		require.Equal(t, want, operatorVersion(d), image)
		d.Labels = map[string]string{"app.kubernetes.io/version": "9"}
		require.Equal(t, "9", operatorVersion(d))
	}
}
