package aikit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

const (
	// RegistryName is the Deployment, the Service and the PersistentVolumeClaim of the registry.
	RegistryName  = "kubefoundry-registry"
	ImageRegistry = "docker.io/library/registry:3.0.0"
	registryPort  = 5000
	registryNode  = 30500 // as in PullRegistry
	registryBytes = "50Gi"
)

// pushRegistry is where builds put images: the registry as pods see it.
func pushRegistry(namespace string) string {
	return fmt.Sprintf("%s.%s.svc:%d", RegistryName, namespace, registryPort)
}

// Registry is what there is of the registry.
type Registry struct {
	Installed, Ready bool
	Message          string
}

// RegistryStatus looks for the registry in KubeFoundry's own namespace.
func RegistryStatus(ctx context.Context, client kubernetes.Interface, namespace string) (Registry, error) {
	found, err := client.AppsV1().Deployments(namespace).Get(ctx, RegistryName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return Registry{Message: "There is no registry yet"}, nil
	case err != nil:
		return Registry{}, fmt.Errorf("registry: %w", err)
	case found.Status.AvailableReplicas == 0:
		return Registry{Installed: true, Message: "The registry is not ready yet" + whyNot(found)}, nil
	}
	return Registry{Installed: true, Ready: true, Message: "The registry is ready"}, nil
}

func whyNot(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			return ": " + c.Message
		}
	}
	return ""
}

// Setup makes the registry, or brings it to what it should be, and waits until it is ready or ctx ends: that is no error.
func Setup(ctx context.Context, client kubernetes.Interface, namespace string) (Registry, error) {
	if err := apply(ctx, client, namespace); err != nil {
		return Registry{}, err
	}
	for {
		status, err := RegistryStatus(ctx, client, namespace)
		if status.Ready || err != nil && ctx.Err() == nil {
			return status, err
		}
		select {
		case <-ctx.Done():
			return Registry{Installed: true, Message: "The registry is there and not ready yet; look again in a minute"}, nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func apply(ctx context.Context, client kubernetes.Interface, namespace string) error {
	claim, deployment, service := registryObjects(namespace)
	force := true
	options := metav1.PatchOptions{FieldManager: "kubefoundry", Force: &force}
	patch := func(object any, name string, do func(name string, body []byte) error) error {
		body, err := json.Marshal(object)
		if err == nil {
			err = do(name, body)
		}
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		return nil
	}
	claims := func() error {
		return patch(claim, claim.Name, func(name string, body []byte) error {
			_, err := client.CoreV1().PersistentVolumeClaims(namespace).Patch(ctx, name, types.ApplyPatchType, body, options)
			return err
		})
	}
	err := claims()
	if apierrors.IsNotFound(err) { // the server runs on somebody's own machine, and its namespace is not there yet
		_, made := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		if made != nil && !apierrors.IsAlreadyExists(made) {
			return fmt.Errorf("namespace %s: %w", namespace, made)
		}
		err = claims()
	}
	if err != nil {
		return err
	}
	if err := patch(service, service.Name, func(name string, body []byte) error {
		_, err := client.CoreV1().Services(namespace).Patch(ctx, name, types.ApplyPatchType, body, options)
		return err
	}); err != nil {
		return err
	}
	return patch(deployment, deployment.Name, func(name string, body []byte) error {
		_, err := client.AppsV1().Deployments(namespace).Patch(ctx, name, types.ApplyPatchType, body, options)
		return err
	})
}

// registryObjects are without status and creation time, which server-side apply would take for wishes.
func registryObjects(namespace string) (claim, deployment, service *object) {
	selector := map[string]string{"app.kubernetes.io/name": RegistryName}
	labels := map[string]string{"app.kubernetes.io/name": RegistryName, "app.kubernetes.io/managed-by": "kubefoundry"}
	meta := objectMeta{Namespace: namespace, Name: RegistryName, Labels: labels}
	no, yes, user, one := false, true, int64(1000), int32(1)
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/v2/", Port: intstr.FromInt32(registryPort)}}, PeriodSeconds: 5}
	claim = &object{"v1", "PersistentVolumeClaim", meta, corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(registryBytes)}},
	}}
	service = &object{"v1", "Service", meta, corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, Selector: selector,
		Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: registryPort, TargetPort: intstr.FromInt32(registryPort), NodePort: registryNode}},
	}}
	pod := corev1.PodSpec{
		AutomountServiceAccountToken: &no, EnableServiceLinks: &no, NodeSelector: map[string]string{"kubernetes.io/os": "linux"},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user, FSGroup: &user, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "registry", Image: ImageRegistry,
			Env:   []corev1.EnvVar{{Name: "REGISTRY_STORAGE_DELETE_ENABLED", Value: "true"}, {Name: "OTEL_TRACES_EXPORTER", Value: "none"}},
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: registryPort, Protocol: corev1.ProtocolTCP}},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
			},
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			ReadinessProbe:  probe, LivenessProbe: probe,
			VolumeMounts: []corev1.VolumeMount{{Name: "images", MountPath: "/var/lib/registry"}},
		}},
		Volumes: []corev1.Volume{{Name: "images", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: RegistryName}}}},
	}
	deployment = &object{"apps/v1", "Deployment", meta, deploymentSpec{
		Replicas: &one, Selector: metav1.LabelSelector{MatchLabels: selector},
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}, // the volume is one pod's
		Template: podTemplate{objectMeta{Labels: labels}, pod},
	}}
	return claim, deployment, service
}

type objectMeta struct {
	Namespace string            `json:"namespace,omitempty"`
	Name      string            `json:"name,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	objectMeta `json:"metadata"`
	Spec       any `json:"spec"`
}

type deploymentSpec struct {
	Replicas *int32                    `json:"replicas"`
	Selector metav1.LabelSelector      `json:"selector"`
	Strategy appsv1.DeploymentStrategy `json:"strategy"`
	Template podTemplate               `json:"template"`
}

type podTemplate struct {
	Metadata objectMeta     `json:"metadata"`
	Spec     corev1.PodSpec `json:"spec"`
}
