package watch

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func fatPod(labels map[string]string, gpus string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "p", Namespace: "ml", UID: "u", ResourceVersion: "7", Labels: labels,
			Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "…"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
		Spec: corev1.PodSpec{
			NodeName: "n", Volumes: []corev1.Volume{{Name: "v"}},
			Containers: []corev1.Container{{Name: "model", Image: "i", Env: []corev1.EnvVar{{Name: "TOKEN", Value: "secret"}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "model", ContainerID: "c"}}},
	}
	if gpus != "" {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(gpus)}
	}
	return p
}

func TestPodsAreStrippedAtTheDoor(t *testing.T) {
	reader := podReader{runtimes: allRuntimes(), log: zap.NewNop()}
	read := func(object any) *pod {
		out, err := reader.read(object)
		require.NoError(t, err)
		return out.(*pod)
	}
	stranger := read(fatPod(map[string]string{"app": "web"}, ""))
	require.Equal(t, &pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ml", UID: "u", ResourceVersion: "7"}}, stranger)
	require.Same(t, stranger, read(stranger), "reading twice is reading once")

	require.Equal(t, entry{node: "n", gpus: 2}, read(fatPod(nil, "2")).entry)
	over := fatPod(nil, "2")
	over.Status.Phase = corev1.PodSucceeded
	require.Zero(t, read(over).entry, "a pod that is over holds nothing")

	input := fatPod(map[string]string{workspaceLabel: "llama"}, "2")
	ours := read(input)
	require.Len(t, ours.claims, 1)
	require.Contains(t, ours.claims[0], "ml/kaito/")
	require.Equal(t, input.Labels, ours.kept.Labels)
	require.Empty(t, ours.kept.ManagedFields)
	require.Empty(t, ours.kept.Annotations)
	require.Empty(t, ours.kept.Spec.Volumes)
	require.Empty(t, ours.kept.Spec.Containers[0].Env)
	require.NotEmpty(t, input.Spec.Containers[0].Env, "the input is not changed")
	require.Empty(t, ours.kept.Status.ContainerStatuses[0].ContainerID)
	require.Equal(t, "c", input.Status.ContainerStatuses[0].ContainerID)
}
