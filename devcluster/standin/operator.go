package standin

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// operator is a Deployment that says "this runtime is installed". Its pods run on
// simulated nodes and do nothing; the work is done here.
type operator struct {
	runtime   string
	namespace string
	name      string
	labels    map[string]string
	container string
	image     string
}

func operators() []operator {
	return []operator{
		{
			runtime: KAITO, namespace: "kaito-workspace", name: "kaito-workspace", container: "workspace",
			labels: map[string]string{"app.kubernetes.io/name": "workspace", "app.kubernetes.io/instance": "kaito-workspace"},
			image:  "mcr.microsoft.com/aks/kaito/workspace:0.12.0",
		},
		{
			runtime: KubeRay, namespace: "kuberay-system", name: "kuberay-operator", container: "kuberay-operator",
			labels: map[string]string{"app.kubernetes.io/name": "kuberay-operator", "app.kubernetes.io/component": "kuberay-operator", "app.kubernetes.io/instance": "kuberay-operator"},
			image:  "quay.io/kuberay/operator:v1.7.0",
		},
		{
			runtime: Dynamo, namespace: "dynamo-system", name: "dynamo-operator-controller-manager", container: "manager",
			labels: map[string]string{"app.kubernetes.io/name": "dynamo-operator", "app.kubernetes.io/instance": "dynamo-platform", "control-plane": "controller-manager"},
			image:  "nvcr.io/nvidia/ai-dynamo/kubernetes-operator:1.1.1",
		},
	}
}

// announce creates the operators' Deployments, once. Somebody who deletes one
// afterwards sees a runtime whose operator is gone.
func announce(ctx context.Context, c *cluster, options Options) {
	for _, o := range operators() {
		if !options.has(o.runtime) {
			continue
		}
		for {
			err := o.create(ctx, c)
			if err == nil {
				break
			}
			c.log.Warn("operator", "name", o.name, "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

func (o operator) create(ctx context.Context, c *cluster) error {
	_, err := c.core.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s: %w", o.namespace, err)
	}
	_, err = c.core.AppsV1().Deployments(o.namespace).Create(ctx, o.deployment(), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("deployment %s/%s: %w", o.namespace, o.name, err)
	}
	return nil
}

func (o operator) deployment() *appsv1.Deployment {
	replicas := int32(1)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: o.name, Namespace: o.namespace, Labels: o.labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: o.labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: o.labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: o.container, Image: o.image,
					Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
					}},
				}}},
			},
		},
	}
}
