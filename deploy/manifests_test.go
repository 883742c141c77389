package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

func decode(object *unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into, true)
}

func manifests(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := deploy.Manifests()
	require.NoError(t, err)
	return objects
}

func TestTheManifestsAreOneInstallation(t *testing.T) {
	t.Parallel()
	objects := manifests(t)
	require.Equal(t, "Namespace", objects[0].GetKind())
	require.Equal(t, deploy.Namespace, objects[0].GetName())
	require.Equal(t, "restricted", objects[0].GetLabels()["pod-security.kubernetes.io/enforce"])

	cluster := []string{"Namespace", "ClusterRole", "ClusterRoleBinding", "APIService"}
	seen := map[string]bool{}
	for _, object := range objects {
		id := object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		require.False(t, seen[id], "%s stands twice", id)
		seen[id] = true
		if slices.Contains(cluster, object.GetKind()) {
			require.Empty(t, object.GetNamespace(), id)
		} else {
			require.Contains(t, []string{deploy.Namespace, "kube-system"}, object.GetNamespace(), id)
		}
		require.Equal(t, "kubefoundry", object.GetLabels()["app.kubernetes.io/part-of"], id)
	}

	// The server writes its CA there: a field that is applied would take it away again.
	registration := find(objects, "APIService", "v1alpha1.live.kubefoundry.io")
	require.NotNil(t, registration)
	spec, _, err := unstructured.NestedMap(registration.Object, "spec")
	require.NoError(t, err)
	require.NotContains(t, spec, "caBundle")
	require.NotContains(t, spec, "insecureSkipTLSVerify")
	require.Equal(t, map[string]any{"name": "kubefoundry", "namespace": deploy.Namespace}, spec["service"])
}

func TestThePodIsConfined(t *testing.T) {
	t.Parallel()
	objects := manifests(t)
	deployment := as[appsv1.Deployment](t, find(objects, "Deployment", "kubefoundry"))
	pod := deployment.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	container := pod.Containers[0]
	require.Equal(t, []string{
		"serve", "--listen=:8443", "--tls-service=kubefoundry", "--namespace=" + deploy.Namespace, "--log-level=info",
	}, container.Args)
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	require.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
	require.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
	require.Equal(t, []corev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop)
	require.Equal(t, []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "921MiB"}}, container.Env)
	for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		require.Equal(t, corev1.URISchemeHTTPS, probe.HTTPGet.Scheme)
	}
	service := as[corev1.Service](t, find(objects, "Service", "kubefoundry"))
	for key, value := range service.Spec.Selector {
		require.Equal(t, value, deployment.Spec.Template.Labels[key])
	}
	require.Equal(t, service.Spec.Ports[0].TargetPort.StrVal, container.Ports[0].Name)
}

// reads are what the server may get, list and watch wherever it may read a namespace.
var reads = []string{
	"get,list,watch pods,events",
	"get,list,watch deployments.apps",
	"get,list,watch workspaces.kaito.sh",
	"get,list,watch rayservices.ray.io",
	"get,list,watch dynamographdeployments.nvidia.com",
}

// always are the server's rights that no value takes from it.
var always = []string{
	"cluster: get,list,watch nodes",
	"cluster: get,list,watch customresourcedefinitions.apiextensions.k8s.io [workspaces.kaito.sh rayservices.ray.io dynamographdeployments.nvidia.com]",
	"cluster: as system:auth-delegator",
	"kube-system: as extension-apiserver-authentication-reader",
	"kube-system: get,list,watch configmaps [cluster-autoscaler-status]",
	"kube-system: get,list,watch deployments.apps",
	"kubefoundry-system: get,list,watch,create,update,delete configmaps",
	"kubefoundry-system: create leases.coordination.k8s.io",
	"kubefoundry-system: get,update leases.coordination.k8s.io [kubefoundry]",
}

var ownCertificate = []string{
	"kubefoundry-system: create secrets",
	"kubefoundry-system: get,update secrets [kubefoundry-serving-certificate]",
	"cluster: get,patch apiservices.apiregistration.k8s.io [v1alpha1.live.kubefoundry.io]",
}

var impersonation = []string{
	"cluster: impersonate users,groups,serviceaccounts",
	"cluster: impersonate *.authentication.k8s.io",
}

func everywhere(place string, rights []string) []string {
	out := make([]string, len(rights))
	for i, right := range rights {
		out[i] = place + ": " + right
	}
	return out
}

// rights are all that bindings in these objects give to the server: a change of what it may do has to be made here as well.
func rights(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	var out []string
	for _, object := range objects {
		var binding rbacv1.RoleBinding // a ClusterRoleBinding has the same fields
		place := object.GetNamespace()
		switch object.GetKind() {
		case "ClusterRoleBinding":
			place = "cluster"
		case "RoleBinding":
		default:
			continue
		}
		require.NoError(t, decode(object, &binding))
		if !slices.Contains(binding.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Name: "kubefoundry", Namespace: deploy.Namespace}) {
			continue
		}
		role := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
			return o.GetKind() == binding.RoleRef.Kind && o.GetName() == binding.RoleRef.Name && o.GetNamespace() == binding.Namespace
		})
		if role < 0 {
			out = append(out, place+": as "+binding.RoleRef.Name)
			continue
		}
		for _, rule := range as[rbacv1.Role](t, objects[role]).Rules {
			out = append(out, place+": "+sentence(t, rule))
		}
	}
	return out
}

func sentence(t *testing.T, rule rbacv1.PolicyRule) string {
	t.Helper()
	require.Len(t, rule.APIGroups, 1, rule)
	out := strings.Join(rule.Verbs, ",") + " " + strings.Join(rule.Resources, ",")
	if rule.APIGroups[0] != "" {
		out += "." + rule.APIGroups[0]
	}
	if len(rule.ResourceNames) > 0 {
		out += " " + fmt.Sprint(rule.ResourceNames)
	}
	return out
}

func TestRightsOfTheServer(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, slices.Concat(always, everywhere("cluster", reads), ownCertificate, impersonation), rights(t, manifests(t)))
}

// A runtime that is added has to be added to the chart, in one place for the server and for people.
func TestEveryRuntimeIsInTheRoles(t *testing.T) {
	t.Parallel()
	objects := manifests(t)
	for role, verbs := range map[string]string{
		"kubefoundry-reader": "get,list,watch", "kubefoundry-view": "get,list,watch", "kubefoundry-edit": "create,update,patch,delete",
	} {
		var has []string
		for _, rule := range as[rbacv1.ClusterRole](t, find(objects, "ClusterRole", role)).Rules {
			has = append(has, sentence(t, rule))
		}
		for _, rt := range registry.All() {
			require.Contains(t, has, verbs+" "+rt.Info().Resource.CRD(), role)
		}
	}
}
