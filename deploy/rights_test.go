package deploy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/deploy"
)

const (
	// waitTime is for the API server and the controller manager to learn of roles, on a busy machine.
	waitTime = 30 * time.Second
	tick     = 50 * time.Millisecond
)

// user is somebody whom the API server is asked about.
type user struct {
	cluster
	name   string
	groups []string
}

func (c cluster) server() user {
	return user{c, "system:serviceaccount:" + deploy.Namespace + ":kubefoundry", []string{
		"system:serviceaccounts", "system:serviceaccounts:" + deploy.Namespace, "system:authenticated",
	}}
}

func (c cluster) person(name string) user { return user{c, name, []string{"system:authenticated"}} }

// allowed asks the API server. What is asked reads as "verb resource[.group][/subresource] [namespace/][name]": a namespace
// ends with a slash, and "verb /path" is about no resource.
func (u user) allowed(t *testing.T, question string) bool {
	t.Helper()
	spec := authorizationv1.SubjectAccessReviewSpec{User: u.name, Groups: u.groups}
	words := strings.Fields(question)
	if strings.HasPrefix(words[1], "/") {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: words[0], Path: words[1]}
	} else {
		about := &authorizationv1.ResourceAttributes{Verb: words[0], Version: "*"}
		resource, subresource, _ := strings.Cut(words[1], "/")
		about.Resource, about.Group, _ = strings.Cut(resource, ".")
		about.Subresource = subresource
		if len(words) > 2 {
			namespace, name, found := strings.Cut(words[2], "/")
			if !found {
				namespace, name = "", words[2]
			}
			about.Namespace, about.Name = namespace, name
		}
		spec.ResourceAttributes = about
	}
	review, err := u.kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Empty(t, review.Status.EvaluationError)
	return review.Status.Allowed
}

func (u user) may(t *testing.T, questions ...string) {
	t.Helper()
	for _, question := range questions {
		require.Eventually(t, func() bool { return u.allowed(t, question) }, waitTime, tick, "%s may not %s", u.name, question)
	}
}

// mayNot is asked after may: what was just granted has arrived by then. What an earlier test granted may take its time to go.
func (u user) mayNot(t *testing.T, questions ...string) {
	t.Helper()
	for _, question := range questions {
		require.Eventually(t, func() bool { return !u.allowed(t, question) }, waitTime, tick, "%s may %s", u.name, question)
	}
}

// bind gives a person a ClusterRole, in a namespace if one is given.
func (c cluster) bind(t *testing.T, namespace, role, person string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	meta := metav1.ObjectMeta{Name: person, Namespace: namespace}
	subjects := []rbacv1.Subject{{Kind: "User", Name: person, APIGroup: rbacv1.GroupName}}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	if namespace == "" {
		bindings := c.kube.RbacV1().ClusterRoleBindings()
		_, err := bindings.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}, metav1.CreateOptions{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = bindings.Delete(ctx, person, metav1.DeleteOptions{}) })
		return
	}
	bindings := c.kube.RbacV1().RoleBindings(namespace)
	_, err := bindings.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = bindings.Delete(ctx, person, metav1.DeleteOptions{}) })
}

func TestWhatTheServerMayDo(t *testing.T) {
	c := needCluster(t)
	c.apply(t, manifests(t))
	server := c.server()
	server.may(t,
		"watch pods", "list events ml/", "list deployments.apps", "watch nodes", "list workspaces.kaito.sh", "watch rayservices.ray.io",
		"list dynamographdeployments.nvidia.com ml/", "watch customresourcedefinitions.apiextensions.k8s.io workspaces.kaito.sh",
		"watch configmaps kube-system/cluster-autoscaler-status", "get configmaps kube-system/extension-apiserver-authentication",
		"create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io",
		"create leases.coordination.k8s.io kubefoundry-system/", "update leases.coordination.k8s.io kubefoundry-system/kubefoundry",
		"get configmaps kubefoundry-system/kubefoundry-config", "watch configmaps kubefoundry-system/kubefoundry-config",
		"create configmaps kubefoundry-system/", "list configmaps kubefoundry-system/", "delete configmaps kubefoundry-system/operation.install.kaito.1",
		"create secrets kubefoundry-system/", "get secrets kubefoundry-system/kubefoundry-serving-certificate",
		"update secrets kubefoundry-system/kubefoundry-serving-certificate",
		"get apiservices.apiregistration.k8s.io v1alpha1.live.kubefoundry.io", "patch apiservices.apiregistration.k8s.io v1alpha1.live.kubefoundry.io",
		"impersonate users alice", "impersonate groups data-science", "impersonate serviceaccounts ml/bot",
		"impersonate uids.authentication.k8s.io 1", "impersonate userextras.authentication.k8s.io/scopes view",
	)
	for _, resource := range []string{
		"pods", "nodes", "events", "services", "namespaces", "deployments.apps", "workspaces.kaito.sh",
		"rayservices.ray.io", "dynamographdeployments.nvidia.com", "customresourcedefinitions.apiextensions.k8s.io",
		"clusterroles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io", "serviceaccounts",
		"certificatesigningrequests.certificates.k8s.io", "validatingwebhookconfigurations.admissionregistration.k8s.io",
	} {
		for _, verb := range []string{"create", "update", "patch", "delete", "deletecollection"} {
			server.mayNot(t, verb+" "+resource+" kubefoundry-system/kubefoundry", verb+" "+resource)
		}
	}
	server.mayNot(t,
		"list secrets", "get secrets kubefoundry-system/other", "list secrets kubefoundry-system/", "get secrets ml/kubefoundry-serving-certificate",
		"create secrets ml/", "delete secrets kubefoundry-system/kubefoundry-serving-certificate",
		"create secrets", "create leases.coordination.k8s.io ml/", "update leases.coordination.k8s.io kubefoundry-system/other",
		"patch apiservices.apiregistration.k8s.io v1.apps", "create apiservices.apiregistration.k8s.io", "delete apiservices.apiregistration.k8s.io v1alpha1.live.kubefoundry.io",
		"create configmaps ml/", "delete configmaps ml/any", "update configmaps", "list configmaps", "get configmaps kube-system/other",
		"create pods/exec ml/any", "create pods/eviction ml/any", "get pods/log ml/any", "create serviceaccounts/token kubefoundry-system/kubefoundry",
		"escalate clusterroles.rbac.authorization.k8s.io", "bind clusterroles.rbac.authorization.k8s.io", "get nodes/proxy any",
		"list customresourcedefinitions.apiextensions.k8s.io", "get /metrics",
	)
}

func TestWithoutImpersonation(t *testing.T) {
	c := needCluster(t)
	c.namespace(t, deploy.Namespace)
	c.apply(t, render(t, "impersonation: {enabled: false}"))
	server := c.server()
	server.may(t, "watch pods", "create subjectaccessreviews.authorization.k8s.io")
	server.mayNot(t, "impersonate users alice", "impersonate groups system:masters", "impersonate serviceaccounts ml/bot",
		"impersonate uids.authentication.k8s.io 1", "impersonate userextras.authentication.k8s.io/scopes view")
}

func TestInSomeNamespaces(t *testing.T) {
	c := needCluster(t)
	for _, namespace := range []string{deploy.Namespace, "ml", "research"} {
		c.namespace(t, namespace)
	}
	c.apply(t, render(t, "namespaces: [ml, research]"))
	server := c.server()
	server.may(t, "watch pods ml/", "list events research/", "watch workspaces.kaito.sh ml/", "list deployments.apps research/",
		"watch nodes", "list deployments.apps kube-system/")
	server.mayNot(t, "list pods", "list pods default/", "list events kube-system/", "list workspaces.kaito.sh", "list rayservices.ray.io default/",
		"list deployments.apps", "get secrets ml/any")
}

func TestRolesOfPeople(t *testing.T) {
	c := needCluster(t)
	c.apply(t, manifests(t))
	c.namespace(t, "ml")
	const backend = "backends.live.kubefoundry.io default"
	const proxy = "backends.live.kubefoundry.io/proxy default"
	for _, role := range []string{"view", "edit", "admin"} {
		c.bind(t, "", role, role+"er")
		person := c.person(role + "er")
		person.may(t, "get "+backend, "list backends.live.kubefoundry.io", "get "+proxy, "list workspaces.kaito.sh ml/", "watch rayservices.ray.io", "get dynamographdeployments.nvidia.com ml/any")
		for _, write := range []string{"create", "update", "patch", "delete"} {
			questions := []string{write + " " + proxy, write + " workspaces.kaito.sh ml/any", write + " rayservices.ray.io ml/any", write + " dynamographdeployments.nvidia.com ml/any"}
			if role == "view" {
				person.mayNot(t, questions...)
			} else {
				person.may(t, questions...)
			}
		}
		person.mayNot(t, "delete "+backend, "create "+backend, "get /metrics")
	}

	// Rights in a namespace are a way through that namespace only; a way there is no right in a namespace.
	c.bind(t, "ml", "edit", "ml-editor")
	editor := c.person("ml-editor")
	editor.may(t, "create workspaces.kaito.sh ml/any", "get backends.live.kubefoundry.io/proxy ml/default", "create backends.live.kubefoundry.io/proxy ml/default")
	editor.mayNot(t, "get "+proxy, "get backends.live.kubefoundry.io/proxy default/default", "create workspaces.kaito.sh default/any")
	c.bind(t, "", "kubefoundry-user", "ml-editor")
	editor.may(t, "get "+backend, "get "+proxy, "create "+proxy, "delete "+proxy)
	editor.mayNot(t, "list workspaces.kaito.sh", "create workspaces.kaito.sh default/any", "list pods default/")

	c.bind(t, "", "kubefoundry-metrics-reader", "prometheus")
	c.person("prometheus").may(t, "get /metrics")
	c.person("prometheus").mayNot(t, "get "+proxy, "list pods")
}

func TestUsersAndReadersAreBound(t *testing.T) {
	c := needCluster(t)
	c.namespace(t, deploy.Namespace)
	c.apply(t, render(t, `{rbac: {aggregateToDefaultRoles: false, users: [{kind: User, name: carol}]}, metrics: {readers: [{kind: User, name: scraper}]}}`))
	c.person("carol").may(t, "create backends.live.kubefoundry.io/proxy default")
	c.person("carol").mayNot(t, "list pods default/", "list workspaces.kaito.sh default/")
	c.person("scraper").may(t, "get /metrics")
	c.bind(t, "", "view", "plain-viewer")
	c.person("plain-viewer").may(t, "list pods")
	c.person("plain-viewer").mayNot(t, "get backends.live.kubefoundry.io/proxy default", "list workspaces.kaito.sh")
	c.bind(t, "", "kubefoundry-view", "other-viewer")
	c.person("other-viewer").may(t, "get backends.live.kubefoundry.io/proxy default", "list workspaces.kaito.sh")
}
