package tenancy

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/deploy"
	"github.com/kubefoundry/kubefoundry/internal/aikit"
	"github.com/kubefoundry/kubefoundry/internal/operations"
	"github.com/kubefoundry/kubefoundry/internal/secrets"
	"github.com/kubefoundry/kubefoundry/internal/settings"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// body is what a request carries.
type body map[string]any

// hubToken is one that the Hugging Face of the tests knows. No answer may hold it.
const hubToken = "hf_wildlifeWildlifeWildlife"

// startHub is a Hugging Face that knows whose hubToken is, and hangs up on every other question.
func startHub(t *testing.T) string {
	t.Helper()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/whoami-v2" || r.Header.Get("Authorization") != "Bearer "+hubToken {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"type":"user","id":"id-ranger","name":"ranger","fullname":"Ranger"}`))
	}))
	t.Cleanup(hub.Close)
	return hub.URL
}

// may asks the API server for rights, all of them.
func (a asking) may(t *testing.T, rights ...authorizationv1.ResourceAttributes) bool {
	t.Helper()
	for _, right := range rights {
		review, err := newClient(t, a.who.Config()).kube.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(),
			&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right}}, metav1.CreateOptions{})
		require.NoError(t, err)
		if !review.Status.Allowed {
			return false
		}
	}
	return true
}

// rights are these verbs on one resource.
func rights(namespace, group, resource, name string, verbs ...string) []authorizationv1.ResourceAttributes {
	all := make([]authorizationv1.ResourceAttributes, 0, len(verbs))
	for _, verb := range verbs {
		resource, sub, _ := strings.Cut(resource, "/")
		all = append(all, authorizationv1.ResourceAttributes{Namespace: namespace, Group: group, Resource: resource, Subresource: sub, Name: name, Verb: verb})
	}
	return all
}

// forbidden is a 403 that says so in the one shape.
func forbidden(t *testing.T, a answer) api.Error {
	t.Helper()
	e := refusal(t, a, http.StatusForbidden)
	require.Equal(t, api.ErrorCodeForbidden, e.Code)
	return e
}

// configs are what can be asked for in a namespace, one of each runtime.
func configs(namespace, name string) []body {
	gpu := body{"gpu": 1}
	return []body{
		{"provider": "kaito", "name": name, "namespace": namespace, "modelSource": "vllm", "modelId": "wildlife/" + name, "resources": gpu},
		{"provider": "kuberay", "name": name, "namespace": namespace, "modelId": "wildlife/" + name, "resources": gpu},
		{"provider": "dynamo", "name": name, "namespace": namespace, "modelId": "wildlife/" + name, "engine": "vllm", "resources": gpu},
	}
}

// plurals are the kinds of what a configuration makes.
var plurals = map[string]string{
	"Workspace": "workspaces", "RayService": "rayservices", "DynamoGraphDeployment": "dynamographdeployments", "Service": "services", "PersistentVolumeClaim": "persistentvolumeclaims",
}

// mayCreate asks the API server whether it would take all of the manifests from a caller.
func (a asking) mayCreate(t *testing.T, namespace string, manifests []api.Manifest) bool {
	t.Helper()
	for _, manifest := range manifests {
		o := &unstructured.Unstructured{Object: manifest.Manifest}
		version, err := schema.ParseGroupVersion(o.GetAPIVersion())
		require.NoError(t, err)
		require.Contains(t, plurals, o.GetKind())
		_, err = newClient(t, a.who.Config()).dynamic.Resource(version.WithResource(plurals[o.GetKind()])).Namespace(namespace).
			Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if apierrors.IsForbidden(err) {
			return false
		}
		require.NoError(t, err)
	}
	return true
}

// previews: what would be made is told to everybody, with the API server's verdict on it for them.
func previews(t *testing.T, a asking) {
	for _, namespace := range []string{a.world.own, a.world.other} {
		for _, c := range configs(namespace, "fresh") {
			got := read[api.DeploymentPreview](t, a.post(t, "/api/deployments/preview", c))
			require.NotNil(t, got.DryRun.Accepted, got.DryRun.Message)
			require.Equal(t, a.mayCreate(t, namespace, got.Resources), *got.DryRun.Accepted, "%s in %s: %s", c["provider"], namespace, got.DryRun.Message)
		}
	}
}

// creates: who may not create with kubectl creates nothing here. What becomes of the others: createAsEverybody.
func creates(t *testing.T, a asking) {
	before := a.world.ours(t)
	for _, namespace := range []string{a.world.own, a.world.other} {
		for _, c := range configs(namespace, "fresh") {
			resources := read[api.DeploymentPreview](t, a.post(t, "/api/deployments/preview", c)).Resources
			if !a.mayCreate(t, namespace, resources) {
				forbidden(t, a.post(t, "/api/deployments", c))
			}
		}
	}
	require.Equal(t, before, a.world.ours(t))
}

// mayScale asks the API server whether a caller may read and change a deployment, without doing it.
func (a asking) mayScale(t *testing.T, d deployment) bool {
	t.Helper()
	objects := newClient(t, a.who.Config()).dynamic.Resource(resources()[d.runtime]).Namespace(d.namespace)
	_, err := objects.Get(t.Context(), d.name, metav1.GetOptions{})
	if err == nil {
		_, err = objects.Patch(t.Context(), d.name, types.MergePatchType, []byte(`{"metadata":{"labels":{"scaled":"1"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	}
	require.True(t, err == nil || apierrors.IsForbidden(err), "%v", err)
	return err == nil
}

// another is a number of replicas that a deployment does not have, of a role that it has.
func (a asking) another(t *testing.T, d deployment) (string, int) {
	t.Helper()
	roles := read[api.Deployment](t, a.get(t, d.target(""))).Roles
	for _, role := range roles {
		if role.Name == "worker" {
			return role.Name, role.Desired + 1
		}
	}
	require.FailNow(t, "no worker", "%s: %+v", d.id(), roles)
	return "", 0
}

// scales: who may not change what they see does not. What becomes of the others: createAsEverybody.
func scales(t *testing.T, a asking) {
	for _, d := range one(t, a, http.MethodPatch, "", body{"replicas": 1}) {
		if a.mayScale(t, d) {
			continue
		}
		role, n := a.another(t, d)
		before := a.world.get(t, d).GetGeneration()
		forbidden(t, a.send(t, http.MethodPatch, d.target(""), body{"roles": body{role: n}}))
		require.Equal(t, before, a.world.get(t, d).GetGeneration())
	}
}

// createAsEverybody: whoever may create with kubectl does it here, and scales what they have made, and nobody else.
func createAsEverybody(t *testing.T, everybody map[string]*caller) {
	for _, r := range roles {
		for _, by := range []way{direct, through} {
			a := everybody[r.name].by(by)
			if !a.passes(t, http.MethodPost) {
				continue
			}
			t.Run(r.name+" "+by.name, func(t *testing.T) {
				made := []deployment{}
				for _, namespace := range []string{a.world.own, a.world.other} {
					for _, c := range configs(namespace, "fresh-"+strconv.Itoa(len(a.world.known))) {
						d := deployment{namespace, c["provider"].(string), c["name"].(string), c["modelId"].(string)}
						a.world.known = append(a.world.known, d)
						manifests := read[api.DeploymentPreview](t, a.post(t, "/api/deployments/preview", c)).Resources
						if !a.mayCreate(t, namespace, manifests) {
							forbidden(t, a.post(t, "/api/deployments", c))
							require.Nil(t, a.world.get(t, d))
							continue
						}
						got := a.post(t, "/api/deployments", c)
						require.Equal(t, http.StatusCreated, got.status, got.body)
						require.NotNil(t, a.world.get(t, d))
						made = append(made, d)
					}
				}
				require.Equal(t, r.name == "editor" || r.name == "admin", len(made) > 0)
				for _, d := range made {
					require.EventuallyWithT(t, func(c *assert.CollectT) {
						require.Equal(c, http.StatusOK, a.get(t, d.target("")).status)
					}, patience, 50*time.Millisecond)
					role, n := a.another(t, d)
					require.True(t, a.mayScale(t, d))
					got := read[api.Scaled](t, a.send(t, http.MethodPatch, d.target(""), body{"roles": body{role: n}}))
					require.Equal(t, n, got.Roles[role])
					read[api.Message](t, a.ask(t, http.MethodDelete, d.target("")))
				}
				for _, d := range made { // the next one counts what there is
					require.Eventually(t, func() bool { return a.world.get(t, d) == nil }, patience, 50*time.Millisecond)
				}
			})
		}
	}
}

// manifests are read as the caller, who has to be allowed to get what they may list.
func manifests(t *testing.T, a asking) {
	for _, d := range one(t, a, http.MethodGet, "/manifest") {
		got := a.get(t, d.target("/manifest"))
		_, err := newClient(t, a.who.Config()).dynamic.Resource(resources()[d.runtime]).Namespace(d.namespace).Get(t.Context(), d.name, metav1.GetOptions{})
		if apierrors.IsForbidden(err) {
			forbidden(t, got)
			continue
		}
		require.NoError(t, err)
		shown := read[api.DeploymentManifests](t, got)
		require.Equal(t, d.name, shown.Resources[0].Name)
		require.Equal(t, d.namespace, (&unstructured.Unstructured{Object: shown.Resources[0].Manifest}).GetNamespace())
		for _, companions := range []string{"services", "persistentvolumeclaims", "configmaps"} {
			said := slices.ContainsFunc(shown.Warnings, func(w string) bool { return strings.Contains(w, "may not list "+companions) })
			require.Equal(t, a.may(t, rights(d.namespace, "", companions, "", "list")...), !said, "%v", shown.Warnings)
		}
	}
}

// deploymentEvents are read as the caller.
func deploymentEvents(t *testing.T, a asking) {
	for _, d := range one(t, a, http.MethodGet, "/events") {
		got := a.get(t, d.target("/events"))
		if !a.may(t, rights(d.namespace, "", "events", "", "list")...) {
			forbidden(t, got)
			continue
		}
		read[api.DeploymentEvents](t, got)
	}
}

// chats are with whom the caller may reach: the API server's proxy to Services is asked in their name.
func chats(method, suffix string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		verb, question := "get", body(nil)
		if method == http.MethodPost {
			verb, question = "create", body{"messages": []body{{"role": "user", "content": "Which way to the lake?"}}}
		}
		for _, d := range one(t, a, method, suffix, question) {
			got := a.send(t, method, d.target(suffix), question)
			if got.status == http.StatusConflict {
				require.Contains(t, refusal(t, got, http.StatusConflict).Message, d.id(), "it does not run")
				continue
			}
			endpoint := read[api.Deployment](t, a.get(t, d.target(""))).Endpoint
			require.NotNil(t, endpoint)
			if a.may(t, rights(d.namespace, "", "services/proxy", endpoint.Service, verb)...) {
				require.NotContains(t, []int{http.StatusForbidden, http.StatusUnauthorized}, got.status, got.body)
			} else {
				require.Contains(t, forbidden(t, got).Message, verb+" services/proxy")
			}
		}
	}
}

// installable are the runtimes that can be installed, with the namespaces that Helm keeps its records in.
func installable() map[string]string {
	all := map[string]string{}
	for _, r := range registry.All() {
		all[r.Info().ID] = r.Info().DefaultNamespace
	}
	return all
}

const nobodysRuntime = "no-such-runtime"

func installationStatus(t *testing.T, a asking) {
	for id := range installable() {
		got := read[api.InstallationStatus](t, a.get(t, "/api/installation/providers/"+id+"/status"))
		require.Equal(t, id, got.ProviderId)
		require.NotEmpty(t, got.Releases)
		for _, release := range got.Releases {
			unknown := !a.may(t, rights(release.Namespace, "", "secrets", "", "list")...)
			require.Equal(t, unknown, strings.Contains(release.Message, "You may not read Helm's records"), "%+v", release)
		}
	}
	refusal(t, a.get(t, "/api/installation/providers/"+nobodysRuntime+"/status"), http.StatusNotFound)
}

func gpuOperatorStatus(t *testing.T, a asking) {
	got := read[api.GpuOperatorStatus](t, a.get(t, "/api/installation/gpu-operator/status"))
	require.Positive(t, got.TotalGPUs, "sums are everybody's")
	require.Equal(t, a.sees.nodes == nil, len(got.GpuNodes) == 0)
	for _, node := range got.GpuNodes {
		require.Contains(t, a.sees.nodes, node)
	}
}

// installs: whoever may not write Helm's records begins nothing. Those who may are tried elsewhere: here they ask for what
// there is not.
func installs(action, needs string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		for id := range installable() {
			path := "/api/installation/providers/" + id
			status := read[api.InstallationStatus](t, a.get(t, path+"/status"))
			var all []authorizationv1.ResourceAttributes
			for _, release := range status.Releases {
				all = append(all, rights(release.Namespace, "", "secrets", "", needs)...)
			}
			if a.may(t, all...) {
				continue
			}
			got := a.post(t, path+"/"+action, nil)
			if action == "install" && got.status == http.StatusOK { // there is nothing to do
				require.True(t, read[api.InstallationResult](t, got).AlreadyInstalled, got.body)
				require.True(t, status.Installed)
				continue
			}
			forbidden(t, got)
		}
		refusal(t, a.post(t, "/api/installation/providers/"+nobodysRuntime+"/"+action, nil), http.StatusNotFound)
		nothingBegun(t, a)
	}
}

func gpuOperator(action, needs string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		if !a.may(t, rights("gpu-operator", "", "secrets", "", needs)...) {
			forbidden(t, a.post(t, "/api/installation/gpu-operator/"+action, nil))
		}
		nothingBegun(t, a)
	}
}

// removesCRDs: what would be lost is told to those who may do it, for it is a list of everybody's.
func removesCRDs(t *testing.T, a asking) {
	for runtime, resource := range resources() {
		path := "/api/installation/providers/" + runtime + "/uninstall-crds"
		definition := resource.GroupResource().String()
		may := a.may(t, rights("", "apiextensions.k8s.io", "customresourcedefinitions", "", "list")...) &&
			a.may(t, rights("", "apiextensions.k8s.io", "customresourcedefinitions", definition, "delete")...) &&
			a.may(t, rights("", resource.Group, resource.Resource, "", "list")...)
		if !may {
			forbidden(t, a.post(t, path+"?dryRun=true", nil))
			forbidden(t, a.post(t, path, nil))
			forbidden(t, a.post(t, path+"?confirm=made-up", nil))
			continue
		}
		require.Positive(t, read[api.CrdRemoval](t, a.post(t, path+"?dryRun=true", nil)).Total)
		require.Equal(t, "confirm", refusal(t, a.post(t, path, nil), http.StatusBadRequest).Details[0].Field)
		refusal(t, a.post(t, path+"?confirm=made-up", nil), http.StatusConflict)
	}
	refusal(t, a.post(t, "/api/installation/providers/"+nobodysRuntime+"/uninstall-crds", nil), http.StatusNotFound)
	nothingBegun(t, a)
}

// planted are operations that this test has written down, in the namespaces that they are for; empty for the cluster.
func (w *world) planted() map[string]api.Operation {
	all, began := map[string]api.Operation{}, time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	for namespace, id := range map[string]string{"": "install/beaver-1", w.own: "build/" + w.own + "/heron-1", w.other: "build/" + w.other + "/otter-1"} {
		all[namespace] = api.Operation{
			Id: id, Namespace: namespace, Kind: api.OperationKindInstall, Target: id[strings.LastIndexByte(id, '/')+1:], Phase: api.OperationPhaseSucceeded, Steps: []api.OperationStep{},
			StartedBy: "ranger", StartedAt: began, FinishedAt: began.Add(time.Minute), Message: "done", Progress: 1,
		}
	}
	return all
}

func (w *world) plant(t *testing.T) {
	t.Helper()
	for _, op := range w.planted() {
		object := operations.Encode(deploy.Namespace, op)
		maps := w.admin.kube.CoreV1().ConfigMaps(deploy.Namespace)
		_, err := maps.Create(t.Context(), object, metav1.CreateOptions{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = maps.Delete(context.WithoutCancel(t.Context()), object.Name, metav1.DeleteOptions{}) })
	}
}

// mayLook tells whether operations of a namespace, or of the cluster, are the caller's to see.
func (a asking) mayLook(t *testing.T, namespace string) bool {
	t.Helper()
	if namespace == "" {
		return a.may(t, rights(deploy.Namespace, "", "configmaps", "", "list")...)
	}
	return a.may(t, rights(namespace, "batch", "jobs", "", "list")...)
}

func listsOperations(t *testing.T, a asking) {
	want := []string{}
	for namespace, op := range a.world.planted() {
		if a.mayLook(t, namespace) {
			want = append(want, op.Id)
		}
	}
	got := read[api.OperationList](t, a.get(t, "/api/operations"))
	shown := []string{}
	for _, op := range got.Operations {
		shown = append(shown, op.Id)
	}
	require.ElementsMatch(t, want, shown)
	require.Equal(t, len(want), got.State.Count)
	if len(want) < len(a.world.planted()) {
		require.NotNil(t, got.State.Access, "a short list says that it is one")
	}
}

// nothingBegun: there are no operations but those that were planted.
func nothingBegun(t *testing.T, a asking) {
	t.Helper()
	list, err := a.world.admin.kube.CoreV1().ConfigMaps(deploy.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: operations.Label})
	require.NoError(t, err)
	require.Len(t, list.Items, len(a.world.planted()))
}

// oneOperation: which there are is not told to those who may not see them.
func oneOperation(method, part, suffix string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		for namespace, op := range a.world.planted() {
			if !strings.HasPrefix(op.Id, part+"/") {
				continue
			}
			got := a.ask(t, method, "/api/operations/"+op.Id+suffix)
			none := a.ask(t, method, "/api/operations/"+op.Id+"23"+suffix)
			if !a.mayLook(t, namespace) {
				forbidden(t, got)
				require.Equal(t, forbidden(t, none).Message, strings.ReplaceAll(forbidden(t, got).Message, op.Id, op.Id+"23"))
				continue
			}
			refusal(t, none, http.StatusNotFound)
			switch {
			case suffix == "":
				require.Equal(t, op.Id, read[api.Operation](t, got).Id)
			case a.may(t, rights(deploy.Namespace, "", "configmaps", operations.ObjectName(op.Id), "delete")...):
				require.Contains(t, refusal(t, got, http.StatusConflict).Message, "is over")
			default:
				forbidden(t, got)
			}
		}
	}
}

// asksHub is a question to Hugging Face, which is away: whoever asks is told so, and the token stays here.
func asksHub(path string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		got := a.ask(t, http.MethodGet, path, "X-Hf-Token", hubToken)
		require.Contains(t, refusal(t, got, http.StatusServiceUnavailable).Message, "Hugging Face")
		require.NotEmpty(t, got.header.Get("Retry-After"))
		silent(t, a)
	}
}

// silent: nothing that was ever told holds a token.
func silent(t *testing.T, a asking) {
	t.Helper()
	for _, h := range a.told {
		require.NotContains(t, h.body, hubToken, h.path)
		require.NotContains(t, h.body, a.who.Config().BearerToken, h.path)
	}
}

// fits: a model of the catalogue needs no Hugging Face; whose GPUs there are is shown to those who may see nodes.
func fits(t *testing.T, a asking) {
	catalogue := read[api.ModelList](t, a.get(t, "/api/models")).Models
	require.NotEmpty(t, catalogue)
	for _, m := range catalogue {
		if !slices.Contains(m.SupportedEngines, api.EngineVllm) {
			continue
		}
		got := read[api.ModelFit](t, a.get(t, "/api/models/fit?model="+m.Id))
		require.Equal(t, a.sees.nodes != nil, got.Access == nil)
		require.NotEmpty(t, got.Cluster)
		for _, group := range got.Cluster {
			require.True(t, a.sees.nodes != nil || group.Product == "" && len(group.Pools) == 0, "%+v", group)
		}
		return
	}
}

// tokenPlaces are the namespaces that come into question for a token.
func (a asking) tokenPlaces() map[string]bool {
	all := map[string]bool{}
	for _, r := range registry.All() {
		all[r.Info().DefaultNamespace] = true
	}
	for _, d := range a.sees.deployments {
		all[d.namespace] = true
	}
	return all
}

func tokenStatus(t *testing.T, a asking) {
	got := read[api.HfSecretStatus](t, a.get(t, "/api/secrets/huggingface/status"))
	require.Len(t, got.Namespaces, len(a.tokenPlaces()))
	configured := false
	for _, place := range got.Namespaces {
		require.Contains(t, a.tokenPlaces(), place.Name)
		_, err := newClient(t, a.who.Config()).kube.CoreV1().Secrets(place.Name).Get(t.Context(), secrets.Name, metav1.GetOptions{})
		want := api.HfSecretNamespaceStatePresent
		switch {
		case apierrors.IsForbidden(err):
			want = api.HfSecretNamespaceStateUnknown
		case apierrors.IsNotFound(err):
			want = api.HfSecretNamespaceStateAbsent
		default:
			require.NoError(t, err)
			configured = true
		}
		require.Equal(t, want, place.State, place.Name)
	}
	require.Equal(t, configured, got.Configured)
	silent(t, a)
}

// putsToken writes into each namespace what the caller may write there, and says what it did not.
func putsToken(t *testing.T, a asking) {
	namespaces := []string{a.world.own, a.world.other}
	a.world.eachToken(t, namespaces, a.world.dropToken)
	may := map[string]bool{}
	for _, namespace := range namespaces {
		may[namespace] = a.may(t, rights(namespace, "", "secrets", secrets.Name, "create", "patch")...)
	}
	got := a.post(t, "/api/secrets/huggingface", body{"accessToken": hubToken, "namespaces": namespaces})
	tokenOutcome(t, got, may)
	for _, namespace := range namespaces {
		require.Equal(t, may[namespace], a.world.hasToken(t, namespace), namespace)
	}
	unknown := refusal(t, a.post(t, "/api/secrets/huggingface", body{"accessToken": "hf_ofSomebodyElse", "namespaces": namespaces}), http.StatusServiceUnavailable)
	require.Contains(t, unknown.Message, "Hugging Face")
	silent(t, a)
}

// takesToken takes it out of where the caller may.
func takesToken(t *testing.T, a asking) {
	namespaces := []string{a.world.own, a.world.other}
	a.world.eachToken(t, namespaces, a.world.putToken)
	may := map[string]bool{}
	for _, namespace := range namespaces {
		may[namespace] = a.may(t, rights(namespace, "", "secrets", secrets.Name, "get", "delete")...)
	}
	got := a.ask(t, http.MethodDelete, "/api/secrets/huggingface?namespaces="+strings.Join(namespaces, ","))
	tokenOutcome(t, got, may)
	for _, namespace := range namespaces {
		require.Equal(t, !may[namespace], a.world.hasToken(t, namespace), namespace)
	}
}

// tokenOutcome: done where it may be, told where it may not; where nowhere, that is an error.
func tokenOutcome(t *testing.T, got answer, may map[string]bool) {
	t.Helper()
	some, all := false, true
	for _, allowed := range may {
		some, all = some || allowed, all && allowed
	}
	if !some {
		forbidden(t, got)
		return
	}
	result := read[api.HfSecretResult](t, got)
	require.Equal(t, all, result.Success)
	require.Len(t, result.Results, len(may))
	for _, one := range result.Results {
		require.Equal(t, may[one.Namespace], one.Success, "%+v", one)
		require.Equal(t, one.Success, one.Error == "")
	}
}

func (w *world) eachToken(t *testing.T, namespaces []string, do func(*testing.T, string)) {
	t.Helper()
	for _, namespace := range namespaces {
		do(t, namespace)
	}
}

func (w *world) dropToken(t *testing.T, namespace string) {
	t.Helper()
	err := w.admin.kube.CoreV1().Secrets(namespace).Delete(t.Context(), secrets.Name, metav1.DeleteOptions{})
	require.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
}

func (w *world) putToken(t *testing.T, namespace string) {
	t.Helper()
	require.NoError(t, secrets.Put(t.Context(), w.i.cluster.Config(), namespace, hubToken, secrets.PutOptions{}))
}

func (w *world) hasToken(t *testing.T, namespace string) bool {
	t.Helper()
	_, err := w.admin.kube.CoreV1().Secrets(namespace).Get(t.Context(), secrets.Name, metav1.GetOptions{})
	require.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
	return err == nil
}

// changesSettings is for those who may write the ConfigMap that holds them.
func changesSettings(t *testing.T, a asking) {
	verbs := []string{"get", "update"}
	if _, err := a.world.admin.kube.CoreV1().ConfigMaps(deploy.Namespace).Get(t.Context(), settings.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		verbs = []string{"get", "create"}
	}
	before := read[api.Settings](t, a.get(t, "/api/settings"))
	provider := "kaito"
	if before.Config.ActiveProviderId == provider {
		provider = "kuberay"
	}
	got := a.send(t, http.MethodPut, "/api/settings", body{"activeProviderId": provider})
	if a.may(t, rights(deploy.Namespace, "", "configmaps", settings.Name, verbs...)...) {
		require.Equal(t, provider, read[api.SettingsChanged](t, got).Config.ActiveProviderId)
		require.Equal(t, provider, read[api.Settings](t, a.get(t, "/api/settings")).Config.ActiveProviderId, "at once")
		return
	}
	forbidden(t, got)
	require.Equal(t, before, read[api.Settings](t, a.get(t, "/api/settings")))
}

func exchangesCode(t *testing.T, a asking) {
	incomplete(http.MethodPost, "/api/oauth/huggingface/token")(t, a)
	login := body{"code": "made-up", "codeVerifier": strings.Repeat("v", 43), "redirectUri": "https://elsewhere.example/callback"}
	require.Equal(t, "redirectUri", refusal(t, a.post(t, "/api/oauth/huggingface/token", login), http.StatusBadRequest).Details[0].Field)
}

// same200 is an answer that is the same for everybody.
func same200(path string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		got := a.get(t, path)
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.Equal(t, a.world.adminCaller.by(direct).get(t, path).body, got.body)
	}
}

func provider(t *testing.T, a asking) {
	for id := range installable() {
		same200("/api/settings/providers/"+id)(t, a)
	}
	refusal(t, a.get(t, "/api/settings/providers/"+nobodysRuntime), http.StatusNotFound)
}

func commands(t *testing.T, a asking) {
	for id := range installable() {
		same200(fmt.Sprintf("/api/installation/providers/%s/commands", id))(t, a)
	}
	refusal(t, a.get(t, "/api/installation/providers/"+nobodysRuntime+"/commands"), http.StatusNotFound)
}

// tellsAll is same200 for questions with a body.
func tellsAll(path string, question body) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		got := a.post(t, path, question)
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.Equal(t, a.world.adminCaller.by(direct).post(t, path, question).body, got.body)
	}
}

// ggufBuild asks for an image with a model in it.
func ggufBuild(namespace string) body {
	return body{"modelSource": "huggingface", "modelId": "wildlife/lynx-gguf", "ggufFile": "lynx-Q4_K_M.gguf", "namespace": namespace}
}

// mayBuild tells whether a caller may make the Job that builds, and look at the registry that its image goes to.
func (a asking) mayBuild(t *testing.T, namespace string) bool {
	t.Helper()
	return a.may(t, rights(namespace, "batch", "jobs", "", "create", "get", "delete")...) && a.may(t, rights(namespace, "", "pods", "", "list")...) &&
		a.may(t, rights(deploy.Namespace, "apps", "deployments", aikit.RegistryName, "get")...)
}

// builds: whoever may not make Jobs builds nothing. A ready image is everybody's, for nothing is made.
func builds(t *testing.T, a asking) {
	for _, namespace := range []string{a.world.own, a.world.other} {
		if !a.mayBuild(t, namespace) {
			forbidden(t, a.post(t, "/api/aikit/build", ggufBuild(namespace)))
		}
	}
	require.True(t, read[api.AikitBuild](t, a.post(t, "/api/aikit/build", body{"modelSource": "premade", "premadeModel": "llama3.2:1b"})).WasPremade)
	nothingBegun(t, a)
}

func buildingStatus(t *testing.T, a asking) {
	got := a.get(t, "/api/aikit/infrastructure/status")
	if !a.may(t, rights(deploy.Namespace, "apps", "deployments", aikit.RegistryName, "get")...) {
		forbidden(t, got)
		return
	}
	require.Equal(t, a.mayBuild(t, deploy.Namespace), read[api.AikitInfrastructure](t, got).Builder.Ready)
}

func setsUpBuilding(t *testing.T, a asking) {
	if !a.may(t, rights(deploy.Namespace, "", "persistentvolumeclaims", aikit.RegistryName, "patch")...) {
		forbidden(t, a.post(t, "/api/aikit/infrastructure/setup", nil))
	}
}

func poolCosts(t *testing.T, a asking) {
	got := read[api.NodePoolCosts](t, a.get(t, "/api/costs/node-pools"))
	require.Equal(t, a.sees.nodes == nil, len(got.NodePoolCosts) == 0)
	limited(t, got.Access, a.sees.nodes != nil, nil, "list nodes")
}
