package aikit

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

type site struct {
	*devcluster.Cluster
	core kubernetes.Interface
	own  string // KubeFoundry's namespace, with the registry
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Cluster: shared.Cluster(t)}
	config := s.Config()
	config.QPS = -1
	var err error
	s.core, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	s.own = devcluster.Namespace(t, s.Cluster)
	return s
}

// builder may build in a namespace, and look at the registry.
func (s *site) builder(t *testing.T, namespace string) *devcluster.Identity {
	t.Helper()
	who := s.ServiceAccount(t, namespace, "builder")
	rule := func(group, resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	s.BindIn(t, namespace, who.Subject(), s.Role(t, "builder", rule("batch", "jobs", "create", "get", "delete"), rule("", "pods", "list"), rule("", "pods/log", "get"), rule("", "events", "list")))
	s.BindIn(t, s.own, who.Subject(), s.Role(t, "looker", rule("apps", "deployments", "get")))
	return who
}

func (s *site) runner(t *testing.T) *operations.Runner {
	t.Helper()
	r := operations.New(operations.Options{Client: s.core, Namespace: s.own, Lease: 2 * time.Second})
	t.Cleanup(r.Close)
	return r
}

// registry sets it up, as somebody who may; NodePorts are the cluster's, so that there is one at a time.
func (s *site) registry(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		_ = s.core.CoreV1().Services(s.own).Delete(context.Background(), RegistryName, metav1.DeleteOptions{})
	})
	require.NoError(t, apply(t.Context(), s.core, s.own))
	// There is no provisioner here: a volume of this test's.
	_, err := s.core.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: s.own},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(registryBytes)}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}},
			ClaimRef:               &corev1.ObjectReference{Namespace: s.own, Name: RegistryName},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = s.core.CoreV1().PersistentVolumes().Delete(context.Background(), s.own, metav1.DeleteOptions{})
	})
	status, err := Setup(t.Context(), s.core, s.own)
	require.NoError(t, err)
	require.True(t, status.Ready, status.Message)
}

var spec = Spec{ModelID: "org/Model-GGUF", File: "model-Q4_K_M.gguf", Name: "aikit-org-model-gguf", Tag: "Q4_K_M"}

func TestBuild(t *testing.T) {
	s := newSite(t)
	status, err := RegistryStatus(t.Context(), s.core, s.own)
	require.NoError(t, err)
	require.False(t, status.Installed)
	s.registry(t)
	require.NoError(t, apply(t.Context(), s.core, s.own), "again")

	t.Run("to its end", func(t *testing.T) {
		namespace := devcluster.Namespace(t, s.Cluster)
		task, err := Task(s.builder(t, namespace).Config(), spec, namespace, s.own, "me")
		require.NoError(t, err)
		r := s.runner(t)
		op, started, err := r.Start(t.Context(), task)
		require.NoError(t, err)
		require.True(t, started)
		op, err = r.Wait(t.Context(), op.Id)
		require.NoError(t, err)
		require.Equal(t, api.OperationPhaseSucceeded, op.Phase, op.Message)
		var result Result
		require.NoError(t, json.Unmarshal(op.Result, &result))
		require.Equal(t, "localhost:30500/aikit-org-model-gguf:Q4_K_M", result.ImageRef)
		require.Positive(t, result.BuildTime)
		jobs, err := s.core.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.Len(t, jobs.Items, 1)
		require.Contains(t, jobs.Items[0].Spec.Template.Spec.Containers[0].Args, "--output=type=image,name=kubefoundry-registry."+s.own+".svc:5000/aikit-org-model-gguf:Q4_K_M,push=true,registry.insecure=true")

		op, _, err = r.Start(t.Context(), task)
		require.NoError(t, err)
		op, err = r.Wait(t.Context(), op.Id)
		require.NoError(t, err)
		require.Equal(t, api.OperationPhaseSucceeded, op.Phase, "what is complete is not built again: %s", op.Message)
		again, err := s.core.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.Equal(t, jobs.Items[0].UID, again.Items[0].UID)
	})
	t.Run("interrupted, and cancelled", func(t *testing.T) {
		namespace := devcluster.Namespace(t, s.Cluster)
		quota, err := s.core.CoreV1().ResourceQuotas(namespace).Create(t.Context(), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			found, err := s.core.CoreV1().ResourceQuotas(namespace).Get(t.Context(), quota.Name, metav1.GetOptions{})
			return err == nil && len(found.Status.Hard) > 0
		}, 20*time.Second, 50*time.Millisecond)
		task, err := Task(s.builder(t, namespace).Config(), spec, namespace, s.own, "me")
		require.NoError(t, err)
		first := s.runner(t)
		op, _, err := first.Start(t.Context(), task)
		require.NoError(t, err)
		name := spec.jobName(pushRegistry(s.own) + "/" + spec.Image())
		var job *batchv1.Job
		require.Eventually(t, func() bool {
			found, err := first.Get(t.Context(), op.Id)
			return err == nil && found.Steps[2].Message != ""
		}, 30*time.Second, 100*time.Millisecond, "why it has no pod is told")
		found, err := first.Get(t.Context(), op.Id)
		require.NoError(t, err)
		require.Contains(t, found.Steps[2].Message, "exceeded quota")
		job, err = s.core.BatchV1().Jobs(namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		first.Close()
		found, err = first.Get(t.Context(), op.Id)
		require.NoError(t, err)
		require.Equal(t, api.OperationPhaseInterrupted, found.Phase)

		second := s.runner(t)
		op, started, err := second.Start(t.Context(), task)
		require.NoError(t, err)
		require.True(t, started)
		require.Eventually(t, func() bool {
			found, err := second.Get(t.Context(), op.Id)
			return err == nil && found.Steps[1].Phase == api.OperationPhaseSucceeded
		}, 30*time.Second, 100*time.Millisecond)
		same, err := s.core.BatchV1().Jobs(namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, job.UID, same.UID, "it is picked up")

		_, err = second.Cancel(t.Context(), op.Id, "me")
		require.NoError(t, err)
		op, err = second.Wait(t.Context(), op.Id)
		require.NoError(t, err)
		require.Equal(t, api.OperationPhaseCancelled, op.Phase)
		require.Eventually(t, func() bool {
			_, err := s.core.BatchV1().Jobs(namespace).Get(t.Context(), name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}, 20*time.Second, 100*time.Millisecond)
	})
	t.Run("by somebody who may not", func(t *testing.T) {
		namespace := devcluster.Namespace(t, s.Cluster)
		who := s.ServiceAccount(t, namespace, "nobody")
		task, err := Task(who.Config(), spec, namespace, s.own, "nobody")
		require.NoError(t, err)
		r := s.runner(t)
		op, _, err := r.Start(t.Context(), task)
		require.NoError(t, err)
		op, err = r.Wait(t.Context(), op.Id)
		require.NoError(t, err)
		require.Equal(t, api.OperationPhaseFailed, op.Phase)
		require.Equal(t, api.ErrorCodeForbidden, op.Code)
	})
}
