package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubefoundry/kubefoundry/api"
)

// statefulSet is what KAITO makes of a workspace.
func (c *cluster) statefulSet(t *testing.T, namespace, name, workspace string) {
	t.Helper()
	replicas, labels := int32(1), map[string]string{"kaito.sh/workspace": workspace}
	_, err := c.kube.AppsV1().StatefulSets(namespace).Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				SchedulerName: "nobody",
				Containers: []corev1.Container{{Name: "model", Image: "registry.example/model:1", Resources: corev1.ResourceRequirements{
					Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")},
				}}},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// TestAQuotaThatForbidsAllPodsIsAReason: there is no pod, and the warning is about the StatefulSet; that of another, whose name
// only starts alike, is none of the deployment's.
func TestAQuotaThatForbidsAllPodsIsAReason(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	_, err := c.kube.CoreV1().ResourceQuotas(ns).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "team"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"requests.nvidia.com/gpu": resource.MustParse("0")}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	c.workspace(t, ns, "llama")
	c.statefulSet(t, ns, "llama-other", "nobody")
	key := api.DeploymentKey(ns, "kaito", "llama")
	c.refused(t, ns, "llama-other")
	doc := awaits(t, r, key, func(api.Deployment) bool { return true })
	require.False(t, slices.ContainsFunc(doc.Reasons, isQuota), "%+v", doc.Reasons)

	c.statefulSet(t, ns, "llama", "llama")
	doc = awaits(t, r, key, func(d api.Deployment) bool { return slices.ContainsFunc(d.Reasons, isQuota) })
	reason := doc.Reasons[slices.IndexFunc(doc.Reasons, isQuota)]
	require.Equal(t, api.ReasonResourceTypeGpu, reason.ResourceType)
	require.False(t, reason.CanAutoscalerHelp, "more nodes do not help against a quota")
	require.Len(t, slices.DeleteFunc(slices.Clone(doc.Reasons), func(r api.Reason) bool { return !isQuota(r) }), 1, "however often it is tried: %+v", doc.Reasons)
}

func isQuota(r api.Reason) bool { return strings.Contains(r.Message, "exceeded quota: team") }

// refused waits for the warning about a StatefulSet.
func (c *cluster) refused(t *testing.T, namespace, name string) {
	t.Helper()
	eventually(t, "a refusal of "+name, func() bool {
		list, err := c.kube.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "type=Warning,involvedObject.name=" + name})
		return err == nil && len(list.Items) > 0
	})
}

// TestAVolumeThatIsNotMadeIsAReason: the warning is about the claim that a pod mounts.
func TestAVolumeThatIsNotMadeIsAReason(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	c.workspace(t, ns, "llama")
	grace := int64(0)
	_, err := c.kube.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "llama-0", Labels: map[string]string{"kaito.sh/workspace": "llama"}},
		Spec: corev1.PodSpec{
			SchedulerName: "nobody", TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{Name: "model", Image: "registry.example/model:1"}},
			Volumes: []corev1.Volume{{Name: "models", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "llama-models"},
			}}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	key := api.DeploymentKey(ns, "kaito", "llama")
	awaits(t, r, key, func(d api.Deployment) bool { return d.PodCount == 1 })
	class := "no-such-class"
	for _, name := range []string{"somebody-elses", "llama-models"} {
		_, err := c.kube.CoreV1().PersistentVolumeClaims(ns).Create(t.Context(), &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeClaimSpec{
				StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	failed := func(r api.Reason) bool { return r.Reason == "ProvisioningFailed" }
	doc := awaits(t, r, key, func(d api.Deployment) bool { return slices.ContainsFunc(d.Reasons, failed) })
	reason := doc.Reasons[slices.IndexFunc(doc.Reasons, failed)]
	require.Contains(t, reason.Message, "no-such-class")
	require.False(t, reason.CanAutoscalerHelp)
}

// TestWhoMakesNodesIsKnownByThem plays nodes of Karpenter, GKE and EKS.
func TestWhoMakesNodesIsKnownByThem(t *testing.T) {
	c := needCluster(t)
	r, _ := c.watcher(t, nil)
	for i, tt := range []struct {
		labels map[string]string
		want   api.AutoscalerDetectionType
	}{
		{map[string]string{"karpenter.sh/nodepool": "gpu"}, api.AutoscalerDetectionTypeKarpenter},
		{map[string]string{"cloud.google.com/gke-nodepool": "nap-l4"}, api.AutoscalerDetectionTypeGkeAutoprovisioning},
		{map[string]string{"karpenter.sh/nodepool": "gpu", "eks.amazonaws.com/compute-type": "auto"}, api.AutoscalerDetectionTypeEksAutoMode},
	} {
		name := fmt.Sprintf("maker-%d", i)
		_, err := c.kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: tt.labels}}, metav1.CreateOptions{})
		require.NoError(t, err)
		t.Cleanup(func() {
			_ = c.kube.CoreV1().Nodes().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
		})
		doc := awaits(t, r, api.AutoscalerKey(), func(a api.Autoscaler) bool { return a.Detection.Type == tt.want })
		require.True(t, doc.Detection.Detected)
		require.Equal(t, 1, doc.Detection.NodeGroupCount)
		require.NoError(t, c.kube.CoreV1().Nodes().Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
}

// TestWhatKarpenterRefusesIsNoHopeForMoreNodes: it says so in a warning about the pod.
func TestWhatKarpenterRefusesIsNoHopeForMoreNodes(t *testing.T) {
	c := needCluster(t)
	ns := c.namespace(t)
	r, _ := c.watcher(t, nil)
	c.workspace(t, ns, "llama")
	c.pod(t, ns, "llama-0", "", 1, map[string]string{"kaito.sh/workspace": "llama"})
	_, err := c.kube.CoreV1().Pods(ns).Patch(t.Context(), "llama-0", types.StrategicMergePatchType, []byte(`{"status":{"conditions":[{"type":"PodScheduled",
		"status":"False","reason":"Unschedulable","message":"0/2 nodes are available: 2 Insufficient nvidia.com/gpu."}]}}`), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	key := api.DeploymentKey(ns, "kaito", "llama")
	awaits(t, r, key, func(d api.Deployment) bool { return len(d.Reasons) > 0 && d.Reasons[0].CanAutoscalerHelp })
	pod, err := c.kube.CoreV1().Pods(ns).Get(t.Context(), "llama-0", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = c.kube.CoreV1().Events(ns).Create(t.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "llama-0.1"},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: ns, Name: "llama-0", UID: pod.UID},
		Type:           corev1.EventTypeWarning, Reason: "FailedScheduling", Source: corev1.EventSource{Component: "karpenter"},
		Message: `Failed to schedule pod, all available instance types exceed limits for nodepool: "gpu"`, LastTimestamp: metav1.Now(),
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	doc := awaits(t, r, key, func(d api.Deployment) bool { return len(d.Reasons) == 2 && !d.Reasons[0].CanAutoscalerHelp })
	require.Equal(t, api.ReasonResourceTypeGpu, doc.Reasons[0].ResourceType)
	require.Contains(t, doc.Reasons[1].Message, `exceed limits for nodepool: "gpu"`)
}
