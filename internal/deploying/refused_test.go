package deploying

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

type object = map[string]any

var workspaces = schema.GroupVersionResource{Group: "kaito.sh", Version: "v1beta1", Resource: "workspaces"}

// vllm is a configuration that has a Service beside it.
func vllm(namespace, name string) object {
	return object{"provider": "kaito", "name": name, "namespace": namespace, "modelSource": "vllm", "modelId": "org/model", "storage": object{"size": "10Gi"}}
}

func (g *rig) there(t *testing.T, namespace, name string) bool {
	t.Helper()
	_, err := g.dynamic.Resource(workspaces).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	require.NoError(t, err)
	return true
}

// TestWhatIsRefused tries what must not be done, and looks that nothing is.
func TestWhatIsRefused(t *testing.T) {
	g := newRig(t)
	namespace := devcluster.Namespace(t, g.cluster)
	editor := g.person(t, namespace, "editor", append(crs(all...), companions(all...)...)...)
	viewer := g.person(t, namespace, "viewer", append(crs(see...), companions(see...)...)...)
	half := g.person(t, namespace, "half", append(crs(all...), companions(see...)...)...) // may make no Services

	t.Run("everything that is wrong is told at once", func(t *testing.T) {
		for _, path := range []string{"/api/deployments", "/api/deployments/preview"} {
			e := editor.refused(t, http.MethodPost, path, object{
				"provider": "dynamo", "name": 5, "namespace": "Not_One", "engine": "nope", "replicas": "many", "env": object{}, "resources": object{"gpu": "two"},
				"trustRemoteCode": "yes", "hfTokenSecret": "No Secret", "labels": object{"a": 1}, "extraArgs": "x", "unknown": true,
				"overrides": object{"spec": object{"hostNetwork": true}},
			}, http.StatusBadRequest, api.ErrorCodeInvalidRequest)
			fields := map[string]string{}
			for _, d := range e.Details {
				require.Empty(t, fields[d.Field], "%s is told twice", d.Field)
				fields[d.Field] = d.Message
			}
			for _, field := range []string{
				"name", "namespace", "engine", "replicas", "env", "resources.gpu", "trustRemoteCode", "hfTokenSecret", "extraArgs", "modelId",
				"overrides.spec.hostNetwork",
			} {
				require.NotEmpty(t, fields[field], "%s in %v", field, fields)
			}
			require.Contains(t, fields, "labels")
			require.Equal(t, "must be a whole number", fields["replicas"])
			require.Equal(t, "must be text", fields["name"])
		}
		for name, body := range map[string]any{"no object": []string{"x"}, "nothing": nil, "no provider": object{"name": "x"}, "another": object{"provider": "other"}} {
			t.Run(name, func(t *testing.T) {
				editor.refused(t, http.MethodPost, "/api/deployments", body, http.StatusBadRequest, api.ErrorCodeInvalidRequest)
			})
		}
		require.Contains(t, editor.refused(t, http.MethodPost, "/api/deployments", object{"provider": "other"}, 400, api.ErrorCodeInvalidRequest).Message,
			"provider must be one of dynamo, kuberay, kaito")
	})
	t.Run("who may not", func(t *testing.T) {
		e := viewer.refused(t, http.MethodPost, "/api/deployments", vllm(namespace, "not-allowed"), http.StatusForbidden, api.ErrorCodeForbidden)
		require.Contains(t, e.Message, viewer.user)
		require.False(t, g.there(t, namespace, "not-allowed"))
		var preview api.DeploymentPreview
		viewer.ask(t, http.MethodPost, "/api/deployments/preview", vllm(namespace, "not-allowed"), http.StatusOK, &preview)
		require.False(t, *preview.DryRun.Accepted)
		require.Contains(t, preview.DryRun.Message, viewer.user)
		require.Len(t, preview.Resources, 3)
	})
	t.Run("who may not make all of it makes nothing", func(t *testing.T) {
		e := half.refused(t, http.MethodPost, "/api/deployments", vllm(namespace, "half"), http.StatusForbidden, api.ErrorCodeForbidden)
		require.Contains(t, e.Message, "its Service half-vllm cannot be created")
		require.False(t, g.there(t, namespace, "half"))
	})
	t.Run("where there is no such namespace", func(t *testing.T) {
		admin := person{rig: g, namespace: "none", token: g.admin(t, namespace)}
		e := admin.refused(t, http.MethodPost, "/api/deployments", vllm("no-such-namespace", "x"), http.StatusNotFound, api.ErrorCodeNotFound)
		require.Contains(t, e.Message, `namespaces "no-such-namespace" not found`)
	})
	t.Run("a name that is taken", func(t *testing.T) {
		var made api.DeploymentCreated
		editor.ask(t, http.MethodPost, "/api/deployments", object{"provider": "kaito", "name": "twice", "namespace": namespace, "modelSource": "premade", "premadeModel": "llama3.2:1b"}, http.StatusCreated, &made)
		e := editor.refused(t, http.MethodPost, "/api/deployments", object{"provider": "kaito", "name": "twice", "namespace": namespace, "modelSource": "premade", "premadeModel": "llama3.2:1b"}, http.StatusConflict, api.ErrorCodeConflict)
		require.Contains(t, e.Message, "already exists")
	})
	t.Run("a Service of somebody else's", func(t *testing.T) {
		_, err := g.core.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "foreign-vllm"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		e := editor.refused(t, http.MethodPost, "/api/deployments", vllm(namespace, "foreign"), http.StatusConflict, api.ErrorCodeConflict)
		require.Contains(t, e.Message, "there is a Service foreign-vllm already")
		require.False(t, g.there(t, namespace, "foreign"))
	})
	t.Run("what the definition refuses", func(t *testing.T) {
		c := vllm(namespace, "strict")
		c["overrides"] = object{"resource": object{"no-such-field": 1}}
		var preview api.DeploymentPreview
		editor.ask(t, http.MethodPost, "/api/deployments/preview", c, http.StatusOK, &preview)
		require.False(t, *preview.DryRun.Accepted)
		require.Contains(t, preview.DryRun.Message, `unknown field "resource.no-such-field"`)
		e := editor.refused(t, http.MethodPost, "/api/deployments", c, http.StatusBadRequest, api.ErrorCodeInvalidRequest)
		require.Contains(t, e.Message, `unknown field "resource.no-such-field"`)
		c["overrides"] = object{"resource": object{"count": "many"}}
		editor.ask(t, http.MethodPost, "/api/deployments/preview", c, http.StatusOK, &preview)
		require.False(t, *preview.DryRun.Accepted)
		require.Equal(t, "resource.count", preview.DryRun.Details[0].Field)
		require.False(t, g.there(t, namespace, "strict"))
	})
	t.Run("no Kubernetes API", func(t *testing.T) {
		g.away.Store(true)
		defer g.away.Store(false)
		var preview api.DeploymentPreview
		began := time.Now()
		editor.ask(t, http.MethodPost, "/api/deployments/preview", vllm(namespace, "away"), http.StatusOK, &preview)
		require.Less(t, time.Since(began), 10*time.Second)
		require.Nil(t, preview.DryRun.Accepted)
		require.Contains(t, preview.DryRun.Message, "could not be asked")
		require.Len(t, preview.Resources, 3)
		editor.refused(t, http.MethodPost, "/api/deployments", vllm(namespace, "away"), http.StatusServiceUnavailable, api.ErrorCodeUnavailable)
		editor.refused(t, http.MethodGet, editor.path("twice", "/manifest"), nil, http.StatusServiceUnavailable, api.ErrorCodeUnavailable)
		editor.refused(t, http.MethodPatch, editor.path("twice", ""), object{"replicas": 2}, http.StatusServiceUnavailable, api.ErrorCodeUnavailable)
	})
	t.Run("warnings", func(t *testing.T) {
		c := vllm(namespace, "warned")
		c["modelId"], c["resources"], c["nonsense"], c["routerMode"] = "org/large", object{"gpu": 2, "cores": 3}, 1, "kv"
		var preview api.DeploymentPreview
		editor.ask(t, http.MethodPost, "/api/deployments/preview", c, http.StatusOK, &preview)
		for i, part := range []string{
			"routerMode has no effect", "nonsense is no field", "resources.cores is no field", "Insufficient cluster GPUs: all replicas together ask for 2",
			"Scheduling constraint: one replica asks for 2 GPUs", "Model requirement: org/large needs at least 4",
		} {
			require.Contains(t, preview.Warnings[i], part)
		}
		require.Len(t, preview.Warnings, 6)
		editor.ask(t, http.MethodPost, "/api/deployments/preview", object{
			"provider": "kaito", "name": "cpu", "namespace": namespace, "modelSource": "premade", "premadeModel": "llama3.2:1b", "computeType": "cpu",
		}, http.StatusOK, &preview)
	})
}

// admin is the token of somebody who may do everything.
func (g *rig) admin(t *testing.T, namespace string) string {
	t.Helper()
	who := g.cluster.ServiceAccount(t, namespace, "admin")
	g.cluster.Bind(t, who.Subject(), "cluster-admin")
	return who.Config().BearerToken
}

// TestWhatIsMadeGoesTogether: companions belong to the custom resource, and one that was left before is taken over.
func TestWhatIsMadeGoesTogether(t *testing.T) {
	g := newRig(t)
	namespace := devcluster.Namespace(t, g.cluster)
	editor := g.person(t, namespace, "editor", append(crs(all...), companions(all...)...)...)
	_, err := g.core.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "together-vllm", Labels: map[string]string{
			"app.kubernetes.io/managed-by": "kubefoundry", "app.kubernetes.io/instance": "together",
		}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 8000}}, Selector: map[string]string{"left": "over"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	var made api.DeploymentCreated
	editor.ask(t, http.MethodPost, "/api/deployments", vllm(namespace, "together"), http.StatusCreated, &made)
	for _, warning := range made.Warnings {
		require.NotContains(t, warning, "is not:")
	}
	owner, err := g.dynamic.Resource(workspaces).Namespace(namespace).Get(t.Context(), "together", metav1.GetOptions{})
	require.NoError(t, err)
	service, err := g.core.CoreV1().Services(namespace).Get(t.Context(), "together-vllm", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, owner.GetUID(), service.OwnerReferences[0].UID)
	require.Equal(t, "together", service.Spec.Selector["kaito.sh/workspace"])
	claim, err := g.core.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), "together-models", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, owner.GetUID(), claim.OwnerReferences[0].UID)

	var d api.Deployment // lists have it when the creation answers
	editor.ask(t, http.MethodGet, editor.path("together", ""), nil, http.StatusOK, &d)
	require.Equal(t, string(owner.GetUID()), d.Resource.Uid)
	var message api.Message
	editor.ask(t, http.MethodDelete, editor.path("together", ""), nil, http.StatusOK, &message)
	require.Eventually(t, func() bool {
		_, noService := g.core.CoreV1().Services(namespace).Get(t.Context(), "together-vllm", metav1.GetOptions{})
		claim, noClaim := g.core.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), "together-models", metav1.GetOptions{})
		return apierrors.IsNotFound(noService) && (apierrors.IsNotFound(noClaim) || claim.DeletionTimestamp != nil)
	}, patience, 50*time.Millisecond)
}
