package autoscaler

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

func statusOf(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: StatusNamespace, Name: StatusName},
		Data:       map[string]string{"status": text},
	}
}

func statusFile(t *testing.T, name string) *corev1.ConfigMap {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return statusOf(string(text))
}

func node(pairs ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}
	for i := 0; i < len(pairs); i += 2 {
		n.Labels[pairs[i]] = pairs[i+1]
	}
	return n
}

func deployment(name string, replicas, ready int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas},
		Status:     appsv1.DeploymentStatus{ReadyReplicas: ready},
	}
}

func TestBothFormatsOfTheStatusAreRead(t *testing.T) {
	t.Run("YAML", func(t *testing.T) {
		got := Detect(Input{Status: statusFile(t, "status-1.34.yaml"), Now: time.Date(2026, 5, 4, 9, 15, 10, 0, time.UTC)})
		assert.Equal(t, api.Autoscaler{
			Detection: api.AutoscalerDetection{
				Type: "cluster-autoscaler", Detected: true, Healthy: true, NodeGroupCount: 3,
				LastActivity: "2026-05-04T09:15:03Z", Message: "The cluster-autoscaler runs on 3 node groups.",
			},
			Status: &api.AutoscalerStatus{Health: "Healthy", LastUpdateTime: "2026-05-04T09:15:03Z", NodeGroups: []api.NodeGroup{
				{Name: "eks-system", MinSize: 1, MaxSize: 5, CurrentSize: 3},
				{Name: "eks-gpu", MinSize: 0, MaxSize: 8, CurrentSize: 2},
				{Name: "eks-empty", MinSize: 0, MaxSize: 4, CurrentSize: 0},
			}},
		}, got)
	})
	t.Run("text", func(t *testing.T) {
		got := Detect(Input{Status: statusFile(t, "status-1.29.txt"), Now: time.Date(2024, 2, 20, 9, 15, 10, 0, time.UTC)})
		assert.Equal(t, api.Autoscaler{
			Detection: api.AutoscalerDetection{
				Type: "cluster-autoscaler", Detected: true, Healthy: true, NodeGroupCount: 2,
				LastActivity: "2024-02-20T09:15:03Z", Message: "The cluster-autoscaler runs on 2 node groups.",
			},
			Status: &api.AutoscalerStatus{Health: "Healthy", LastUpdateTime: "2024-02-20T09:15:03Z", NodeGroups: []api.NodeGroup{
				{Name: "nodepool1", MinSize: 1, MaxSize: 5, CurrentSize: 3},
				{Name: "gke-gpu-pool-1f2a-grp", MinSize: 0, MaxSize: 8, CurrentSize: 2},
			}},
		}, got)
	})
}

func TestDetect(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	aks := func(pool string) *corev1.Node {
		return node("kubernetes.azure.com/cluster", "c", "kubernetes.azure.com/agentpool", pool, "cluster-autoscaler.kubernetes.io/enabled", "true")
	}
	byProvider := node()
	byProvider.Spec.ProviderID = "azure:///subscriptions/1"
	labelled := deployment("scaler", 1, 1)
	labelled.Labels = map[string]string{"app.kubernetes.io/name": "aws-cluster-autoscaler"}
	unset := deployment("cluster-autoscaler", 0, 1)
	unset.Spec.Replicas = nil
	annotated := statusOf("autoscalerStatus: Running\n")
	annotated.Annotations = map[string]string{lastUpdated: "2026-05-04 07:59:00.5 +0000 UTC"}

	for name, tt := range map[string]struct {
		in                Input
		kind              api.AutoscalerDetectionType
		detected, healthy bool
		groups            int
		message           string
	}{
		"nothing":             {Input{}, "none", false, false, 0, "No autoscaler was found: pods"},
		"ordinary nodes":      {Input{Nodes: []*corev1.Node{node(), nil}}, "none", false, false, 0, "No autoscaler was found: pods"},
		"AKS without":         {Input{Nodes: []*corev1.Node{node(), byProvider}}, "none", false, false, 0, "az aks nodepool update"},
		"AKS, two pools":      {Input{Nodes: []*corev1.Node{aks("a"), aks("b"), aks("a")}}, "aks-managed", true, true, 2, "AKS adds nodes to 2 node pools"},
		"AKS that stopped":    {Input{Nodes: []*corev1.Node{aks("a")}, Status: statusOf("time: 2026-05-04 09:00:00 +0000 UTC\n")}, "aks-managed", true, false, 1, "has not written its status for 60 minutes"},
		"AKS that runs":       {Input{Nodes: []*corev1.Node{aks("a")}, Status: statusOf("time: 2026-05-04 09:59:00 +0000 UTC\n")}, "aks-managed", true, true, 1, "AKS adds nodes to 1 node pool "},
		"the label elsewhere": {Input{Nodes: []*corev1.Node{node("cluster-autoscaler.kubernetes.io/enabled", "true")}}, "none", false, false, 0, ""},
		"fresh":               {Input{Status: statusOf("time: 2026-05-04 09:55:01 +0000 UTC\n")}, "cluster-autoscaler", true, true, 0, "The cluster-autoscaler runs."},
		"stale":               {Input{Status: statusOf("time: 2026-05-04 09:54:00 +0000 UTC\n")}, "cluster-autoscaler", true, false, 0, "for 6 minutes"},
		"stale for hours":     {Input{Status: annotated}, "cluster-autoscaler", true, false, 0, "for 2 hours"},
		"stale for days":      {Input{Status: statusOf("time: 2026-05-01 09:54:00 +0000 UTC\n")}, "cluster-autoscaler", true, false, 0, "for 3 days"},
		"without a time":      {Input{Status: statusOf("autoscalerStatus: Running\n")}, "cluster-autoscaler", true, true, 0, "runs."},
		"starting":            {Input{Status: statusOf("autoscalerStatus: Initializing\n")}, "cluster-autoscaler", true, true, 0, "is starting"},
		"in ill health":       {Input{Status: statusOf("clusterWide: {health: {status: Unhealthy}}\nnodeGroups: [{name: a}]")}, "cluster-autoscaler", true, false, 1, "runs on 1 node group, but finds"},
		"unreadable":          {Input{Status: statusOf("\x00{]")}, "cluster-autoscaler", true, false, 0, "cannot be read"},
		"empty":               {Input{Status: &corev1.ConfigMap{}}, "cluster-autoscaler", true, false, 0, "cannot be read"},
		"deployment":          {Input{Deployments: []*appsv1.Deployment{nil, deployment("coredns", 2, 2), deployment("my-cluster-autoscaler", 2, 2)}}, "cluster-autoscaler", true, true, 0, "has not written a status"},
		"deployment by chart": {Input{Deployments: []*appsv1.Deployment{labelled}}, "cluster-autoscaler", true, true, 0, ""},
		"deployment at 0":     {Input{Deployments: []*appsv1.Deployment{deployment("cluster-autoscaler", 0, 0)}}, "cluster-autoscaler", true, false, 0, "scaled to zero"},
		"deployment at half":  {Input{Deployments: []*appsv1.Deployment{deployment("cluster-autoscaler", 2, 1)}}, "cluster-autoscaler", true, false, 0, "1 of 2 replicas"},
		"deployment default":  {Input{Deployments: []*appsv1.Deployment{unset}}, "cluster-autoscaler", true, true, 0, ""},
		"other deployments":   {Input{Deployments: []*appsv1.Deployment{deployment("coredns", 2, 2)}}, "none", false, false, 0, ""},
		"Karpenter elsewhere": {Input{Nodes: []*corev1.Node{node("karpenter.sh/nodepool", "gpu"), node()}}, "karpenter", true, true, 1, "Karpenter made 1 node of this cluster and adds more when pods need them. It does not run in kube-system"},
		"Karpenter":           {Input{Nodes: []*corev1.Node{node("karpenter.sh/nodepool", "gpu"), node("karpenter.sh/nodepool", "cpu")}, Deployments: []*appsv1.Deployment{deployment("karpenter", 2, 2)}}, "karpenter", true, true, 2, "Karpenter runs"},
		"Karpenter at half":   {Input{Nodes: []*corev1.Node{node("karpenter.sh/nodepool", "gpu")}, Deployments: []*appsv1.Deployment{deployment("karpenter", 2, 1)}}, "karpenter", true, false, 1, "1 of 2 replicas are ready"},
		"Karpenter, new":      {Input{Nodes: []*corev1.Node{node()}, Deployments: []*appsv1.Deployment{deployment("karpenter", 1, 1)}}, "karpenter", true, true, 0, "Karpenter runs"},
		"AKS by Karpenter":    {Input{Nodes: []*corev1.Node{node("karpenter.sh/nodepool", "gpu", "kubernetes.azure.com/cluster", "c")}}, "karpenter", true, true, 1, "AKS node auto-provisioning made 1 node"},
		"EKS auto mode":       {Input{Nodes: []*corev1.Node{node("karpenter.sh/nodepool", "gpu", "eks.amazonaws.com/compute-type", "auto")}}, "eks-auto-mode", true, true, 1, "EKS auto mode"},
		"EKS, by hand":        {Input{Nodes: []*corev1.Node{node("eks.amazonaws.com/nodegroup", "gpu")}}, "none", false, false, 0, "EKS scales no node group by itself"},
		"EKS, with one":       {Input{Nodes: []*corev1.Node{node("eks.amazonaws.com/nodegroup", "gpu")}, Deployments: []*appsv1.Deployment{deployment("cluster-autoscaler", 1, 1)}}, "cluster-autoscaler", true, true, 0, "runs"},
		"GKE, made by itself": {Input{Nodes: []*corev1.Node{node("cloud.google.com/gke-nodepool", "nap-l4")}}, "gke-autoprovisioning", true, true, 1, "GKE node auto-provisioning"},
		"GKE":                 {Input{Nodes: []*corev1.Node{node("cloud.google.com/gke-nodepool", "l4")}, Status: statusOf("time: 2026-05-04 09:59:00 +0000 UTC\nnodeGroups: [{name: a}]")}, "gke-autoscaler", true, true, 1, "The cluster-autoscaler of GKE runs on 1 node group"},
		"GKE that stopped":    {Input{Nodes: []*corev1.Node{node("cloud.google.com/gke-nodepool", "l4")}, Status: statusOf("time: 2026-05-04 09:00:00 +0000 UTC\n")}, "gke-autoscaler", true, false, 0, "has not written its status"},
		"GKE, by hand":        {Input{Nodes: []*corev1.Node{node("cloud.google.com/gke-nodepool", "l4")}}, "none", false, false, 0, "gcloud container clusters update"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.in.Now = now
			got := Detect(tt.in).Detection
			assert.Equal(t, tt.kind, got.Type)
			assert.Equal(t, tt.detected, got.Detected, "detected")
			assert.Equal(t, tt.healthy, got.Healthy, "healthy")
			assert.Equal(t, tt.groups, got.NodeGroupCount)
			assert.Contains(t, got.Message, tt.message)
		})
	}
}

func TestOneOddValueCostsOnlyItself(t *testing.T) {
	got := Detect(Input{Status: statusOf(`
autoscalerStatus: Running
nodeGroups:
- name: a
  health: {minSize: many, maxSize: -3, cloudProviderTarget: null, nodeCounts: {registered: {total: "2"}}}
- health: {minSize: 1}
- name: b
  health: {minSize: 1, maxSize: 99999999999999999999}
`)})
	require.NotNil(t, got.Status)
	assert.Equal(t, []api.NodeGroup{{Name: "a", CurrentSize: 2}, {Name: "b", MinSize: 1}}, got.Status.NodeGroups)
}

func TestWhatCannotBeReadIsNoStatus(t *testing.T) {
	for _, text := range []string{"", "hello", "[]", "a: b", "nodeGroups: 3", "{", strings.Repeat("[", 100000)} {
		assert.Nil(t, Detect(Input{Status: statusOf(text)}).Status, "%.20q", text)
	}
}

func FuzzDetect(f *testing.F) {
	for _, name := range []string{"status-1.29.txt", "status-1.34.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(string(text), "2026-05-04 08:00:00.5 +0000 UTC")
	}
	f.Add("nodeGroups:\n- name: https://\n", "")
	f.Add("NodeGroups:\n Name: /\n Health: (minSize=999999999999)", "x")
	f.Fuzz(func(t *testing.T, text, updated string) {
		in := Input{Status: statusOf(text), Now: time.Unix(1777888999, 0)}
		in.Status.Annotations = map[string]string{lastUpdated: updated}
		got := Detect(in)
		if !got.Detection.Detected || got.Detection.Message == "" || !got.Detection.Type.Valid() {
			t.Errorf("%+v", got.Detection)
		}
		if got.Status == nil {
			return
		}
		if got.Status.NodeGroups == nil || got.Status.Health == "" {
			t.Errorf("%+v", got.Status)
		}
		for _, group := range got.Status.NodeGroups {
			if group.MinSize < 0 || group.MaxSize < 0 || group.CurrentSize < 0 || group.MaxSize > maxSize {
				t.Errorf("%+v", group)
			}
		}
	})
}
