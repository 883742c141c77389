package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	aimIdentity    = 1.3 // times the p50 without authentication
	identityRounds = 6   // each is first as often
)

// identities measures what it costs to know who asks: the same list from a server that authenticates and one that does not, in
// turn, so that whatever else the machine does falls on both.
func (b *listBench) identities(ctx context.Context, r *report, kube *apiServer) (err error) {
	progress("list: with and without authentication")
	all, one, err := kube.readers(ctx)
	if err != nil {
		return err
	}
	kubeconfig := kube.cluster.Kubeconfig()
	off, err := startServer(ctx, b.binary, kubeconfig, "--authentication=off")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, off.stop()) }()
	on, err := startServer(ctx, b.binary, kubeconfig, "--authentication=on", "--request-rate=0", "--max-streams-per-caller=0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, on.stop()) }()

	callers := []*caller{newCaller(off.address, listPath, false), newCaller(on.address, listPath, false), newCaller(on.address, listPath, false)}
	callers[1].token, callers[2].token = all, one
	p50, p99, rate := make([][]float64, len(callers)), make([][]float64, len(callers)), make([][]float64, len(callers))
	for round := range identityRounds {
		for turn := range callers {
			n := (round + turn) % len(callers)
			m, err := callers[n].measure(ctx, max(b.requests/identityRounds, 1), b.atMost/identityRounds)
			if err != nil {
				return err
			}
			p50[n], p99[n], rate[n] = append(p50[n], float64(m.p50)), append(p99[n], float64(m.p99)), append(rate[n], m.rate)
		}
	}
	both := func(n int) string {
		return ms(time.Duration(median(p50[n]))) + " / " + ms(time.Duration(median(p99[n])))
	}
	for n, sees := range []string{"everything", "one namespace"} {
		n++ // the first caller is the baseline
		ratio := median(p50[n]) / median(p50[0])
		met := ratio <= aimIdentity
		r.row(row{
			what: fmt.Sprintf("as one who sees %s: p50 / p99", sees), measured: both(n), baseline: both(0) + " off",
			ratio: times(ratio), aim: "<= 1.3x", met: &met,
		})
		r.row(row{
			what: fmt.Sprintf("  requests per second of %d callers", callersAtOnce), measured: fmt.Sprintf("%.0f/s", median(rate[n])),
			baseline: fmt.Sprintf("%.0f/s", median(rate[0])), ratio: times(median(rate[n]) / median(rate[0])),
		})
	}
	r.note("the same server with --authentication=on and off, in turn, %d rounds: medians; bodies of %d, %d and %d bytes",
		identityRounds, callers[0].bytes, callers[1].bytes, callers[2].bytes)
	return nil
}

// readers makes two ServiceAccounts: one that may list what KubeFoundry shows everywhere, one only in benchNamespace, and
// returns a token of each.
func (s *apiServer) readers(ctx context.Context) (all, one string, err error) {
	client, err := kubernetes.NewForConfig(s.cluster.Config())
	if err != nil {
		return "", "", err
	}
	list := []string{"get", "list", "watch"}
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "bench-reader"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods", "nodes", "configmaps"}, Verbs: list},
			{APIGroups: []string{"kaito.sh", "ray.io", "nvidia.com"}, Resources: []string{"*"}, Verbs: list},
		},
	}, metav1.CreateOptions{}); err != nil {
		return "", "", err
	}
	role := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "bench-reader"}
	token := func(name string) (string, error) {
		accounts := client.CoreV1().ServiceAccounts(benchNamespace)
		if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return "", err
		}
		made, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		return made.Status.Token, nil
	}
	subjects := func(name string) []rbacv1.Subject {
		return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: benchNamespace, Name: name}}
	}
	if all, err = token("all"); err != nil {
		return "", "", err
	}
	if one, err = token("one"); err != nil {
		return "", "", err
	}
	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bench-all"}, RoleRef: role, Subjects: subjects("all"),
	}, metav1.CreateOptions{})
	if err != nil {
		return "", "", err
	}
	_, err = client.RbacV1().RoleBindings(benchNamespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bench-one"}, RoleRef: role, Subjects: subjects("one"),
	}, metav1.CreateOptions{})
	return all, one, err
}
