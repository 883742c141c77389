package devcluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// Binding gives a role to a subject, in one namespace or everywhere.
//
// The API server's authorizer reads roles and bindings by informers, so that a
// write takes effect some milliseconds later. To see when, without being misled
// by other bindings of the same subject, each binding also holds a user whom
// nothing else names, "probe:" and the binding's name, and SubjectAccessReviews
// ask about that user until they answer as they should.
type Binding struct {
	// Name of the RoleBinding or ClusterRoleBinding, and its Namespace, empty for
	// the latter.
	Name, Namespace string
	// Since is a time at which the authorizer surely had the binding. It had it not
	// before [Cluster.Bind] was called.
	Since time.Time

	client kubernetes.Interface
	rule   rbacv1.PolicyRule
}

// Role creates a ClusterRole whose name begins with name and ends at random, has
// it deleted when the test ends, and returns its name. It takes effect with a
// binding.
func (c *Cluster) Role(t testing.TB, name string, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	roles := c.admin(t).RbacV1().ClusterRoles()
	made, err := roles.Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-"}, Rules: rules,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("role %s: %v", name, err)
	}
	c.cleanup(t, "role "+made.Name, func(ctx context.Context) error {
		return roles.Delete(ctx, made.Name, metav1.DeleteOptions{})
	})
	return made.Name
}

// Bind gives a ClusterRole to a subject, from [Identity.Subject], [User] or
// [Group], in all namespaces. It returns when the API server's authorizer grants
// it. The binding ends with the test or by [Binding.Revoke].
func (c *Cluster) Bind(t testing.TB, who rbacv1.Subject, role string) *Binding {
	t.Helper()
	return c.BindIn(t, "", who, role)
}

// BindIn is [Cluster.Bind] for one namespace; with "" for all.
func (c *Cluster) BindIn(t testing.TB, namespace string, who rbacv1.Subject, role string) *Binding {
	t.Helper()
	b := &Binding{Name: "test-" + rand.String(10), Namespace: namespace, client: c.admin(t)}
	b.rule = b.pick(t, role)
	meta := metav1.ObjectMeta{Name: b.Name, Namespace: namespace}
	reference := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	subjects := []rbacv1.Subject{who, User(b.probe())}
	var err error
	if namespace == "" {
		_, err = b.client.RbacV1().ClusterRoleBindings().Create(t.Context(),
			&rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: reference, Subjects: subjects}, metav1.CreateOptions{})
	} else {
		_, err = b.client.RbacV1().RoleBindings(namespace).Create(t.Context(),
			&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: reference, Subjects: subjects}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatalf("bind %s to %s: %v", role, who.Name, err)
	}
	c.cleanup(t, "binding "+b.Name, b.delete)
	b.Since = b.await(t, true)
	return b
}

// Revoke takes the binding away. It returns a time at which the API server's
// authorizer surely had it no more. Revoking again changes nothing.
func (b *Binding) Revoke(t testing.TB) time.Time {
	t.Helper()
	if err := b.delete(t.Context()); err != nil && !apierrors.IsNotFound(err) {
		t.Fatalf("revoke binding %s: %v", b.Name, err)
	}
	return b.await(t, false)
}

func (b *Binding) delete(ctx context.Context) error {
	if b.Namespace == "" {
		return b.client.RbacV1().ClusterRoleBindings().Delete(ctx, b.Name, metav1.DeleteOptions{})
	}
	return b.client.RbacV1().RoleBindings(b.Namespace).Delete(ctx, b.Name, metav1.DeleteOptions{})
}

func (b *Binding) probe() string { return "probe:" + b.Name }

// pick finds a rule of the role to ask about. The rules of an aggregated role
// such as "view" may still be on their way.
func (b *Binding) pick(t testing.TB, role string) rbacv1.PolicyRule {
	t.Helper()
	var picked rbacv1.PolicyRule
	err := wait.PollUntilContextTimeout(t.Context(), identityPoll, identityTimeout, true, func(ctx context.Context) (bool, error) {
		found, err := b.client.RbacV1().ClusterRoles().Get(ctx, role, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, rule := range found.Rules {
			if len(rule.Resources) > 0 || b.Namespace == "" {
				picked = rule
				return true, nil
			}
		}
		if found.AggregationRule == nil {
			return false, errors.New("no rule that such a binding grants")
		}
		return false, nil
	})
	if err != nil {
		t.Fatalf("role %s: %v", role, err)
	}
	return picked
}

// await asks until the answer is as wanted and returns when it was.
func (b *Binding) await(t testing.TB, allowed bool) time.Time {
	t.Helper()
	var answered time.Time
	err := wait.PollUntilContextTimeout(t.Context(), identityPoll, identityTimeout, true, func(ctx context.Context) (bool, error) {
		review, err := b.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, b.review(), metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		answered = time.Now()
		return review.Status.Allowed == allowed, nil
	})
	if err != nil {
		t.Fatalf("binding %s: wait for the authorizer to say %t: %v", b.Name, allowed, err)
	}
	return answered
}

// review asks about the first of everything in the rule. Wildcards are values
// like others: a rule's "*" matches what is asked as "*" too.
func (b *Binding) review() *authorizationv1.SubjectAccessReview {
	spec := authorizationv1.SubjectAccessReviewSpec{User: b.probe()}
	if len(b.rule.Resources) == 0 {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: b.rule.NonResourceURLs[0], Verb: b.rule.Verbs[0]}
		return &authorizationv1.SubjectAccessReview{Spec: spec}
	}
	resource, subresource, _ := strings.Cut(b.rule.Resources[0], "/")
	spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Namespace: b.Namespace, Group: b.rule.APIGroups[0],
		Resource: resource, Subresource: subresource, Verb: b.rule.Verbs[0],
	}
	if len(b.rule.ResourceNames) > 0 {
		spec.ResourceAttributes.Name = b.rule.ResourceNames[0]
	}
	return &authorizationv1.SubjectAccessReview{Spec: spec}
}
