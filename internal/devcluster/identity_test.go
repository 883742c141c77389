package devcluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// TestIdentities has subtests that count requests, and therefore runs them one by
// one.
func TestIdentities(t *testing.T) {
	c := start(t, Options{GPUNodes: -1, CPUNodes: -1, Components: []string{ControllerManager}})
	t.Run("a service account and its tokens", func(t *testing.T) { testServiceAccount(t, c) })
	t.Run("a certificate by the API", func(t *testing.T) {
		testClientCertificate(t, c)
		eventually(t, "the request", func() string {
			if c.Requests(t, "certificatesigningrequests", "POST") != 1 {
				return "was not made"
			}
			return ""
		})
	})
	t.Run("bindings come and go", func(t *testing.T) { testBindings(t, c) })
	t.Run("requests are counted", func(t *testing.T) { testRequests(t, c) })
	t.Run("front proxies, real and forged", func(t *testing.T) { testFrontProxy(t, c) })
	t.Run("an attached cluster does the same", func(t *testing.T) {
		attached, err := Attach(c.Kubeconfig())
		if err != nil {
			t.Fatal(err)
		}
		testServiceAccount(t, attached)
		testClientCertificate(t, attached)
		testFrontProxy(t, attached)
	})
	t.Run("nothing is left", func(t *testing.T) {
		client := clientOf(t, c)
		requests, err := client.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
		if err != nil || len(requests.Items) > 0 {
			t.Errorf("certificate signing requests: %v, %v", requests, err)
		}
		bindings, err := client.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, binding := range bindings.Items {
			if strings.HasPrefix(binding.Name, "test-") {
				t.Errorf("binding %s", binding.Name)
			}
		}
		roles, err := client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range roles.Items {
			if strings.HasPrefix(role.Name, "configmaps-") || strings.HasPrefix(role.Name, "odd-") {
				t.Errorf("role %s", role.Name)
			}
		}
	})
}

// whoami asks the API server whose credentials these are.
func whoami(t *testing.T, config *rest.Config) (authenticationv1.UserInfo, error) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return review.Status.UserInfo, nil
}

func expectUser(t *testing.T, config *rest.Config, name string, groups ...string) {
	t.Helper()
	user, err := whoami(t, config)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if user.Username != name {
		t.Errorf("the API server sees %q, want %q", user.Username, name)
	}
	for _, group := range append(groups, "system:authenticated") {
		if !slices.Contains(user.Groups, group) {
			t.Errorf("%s is in %v, without %s", name, user.Groups, group)
		}
	}
}

func expectUnauthorized(t *testing.T, what string, config *rest.Config) {
	t.Helper()
	if user, err := whoami(t, config); !apierrors.IsUnauthorized(err) {
		t.Errorf("%s: %+v, %v; want 401", what, user, err)
	}
}

func testServiceAccount(t *testing.T, c *Cluster) {
	ns := Namespace(t, c)
	reader := c.ServiceAccount(t, ns, "reader")
	if want := "system:serviceaccount:" + ns + ":reader"; reader.Name != want {
		t.Errorf("name %q, want %q", reader.Name, want)
	}
	expectUser(t, reader.Config(), reader.Name, "system:serviceaccounts:"+ns)
	again := c.ServiceAccount(t, ns, "reader")
	expectUser(t, again.Config(), reader.Name)

	review := func(token string, audiences ...string) authenticationv1.TokenReviewStatus {
		t.Helper()
		answer, err := clientOf(t, c).AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Status
	}
	narrow := reader.TokenFor(t, 10*time.Minute, "kubefoundry")
	if status := review(narrow, "kubefoundry"); !status.Authenticated || status.User.Username != reader.Name {
		t.Errorf("a token for its own audience: %+v", status)
	}
	if status := review(narrow); status.Authenticated {
		t.Errorf("a token for another audience: %+v", status)
	}
	expectUnauthorized(t, "a token for another audience", c.Bearer(narrow))
	// Nobody is who they say without credentials; the API server knows them as anonymous.
	if _, err := whoami(t, c.Bearer("")); !apierrors.IsForbidden(err) {
		t.Errorf("without credentials: %v, want 403", err)
	}
}

func testClientCertificate(t *testing.T, c *Cluster) {
	jane := c.ClientCertificate(t, "jane", "team-a", "team-b")
	expectUser(t, jane.Config(), "jane", "team-a", "team-b")
	if leaf := jane.Certificate(t).Leaf; leaf.Subject.CommonName != "jane" {
		t.Errorf("certificate of %s", leaf.Subject)
	}
	if subject := jane.Subject(); subject.Kind != rbacv1.UserKind || subject.Name != "jane" {
		t.Errorf("subject %+v", subject)
	}
}

func testBindings(t *testing.T, c *Cluster) {
	ns, other := Namespace(t, c), Namespace(t, c)
	reader := c.ServiceAccount(t, ns, "reader")
	client, err := kubernetes.NewForConfig(reader.Config())
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when, namespace string, allowed bool) {
		t.Helper()
		_, err := client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		if allowed && err != nil || !allowed && !apierrors.IsForbidden(err) {
			t.Errorf("%s: list in %s: %v, want allowed: %t", when, namespace, err, allowed)
		}
	}
	role := c.Role(t, "configmaps", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}})

	expect("without a binding", ns, false)
	before := time.Now()
	here := c.BindIn(t, ns, reader.Subject(), role)
	if here.Since.Before(before) || here.Since.After(time.Now()) {
		t.Errorf("bound since %s, asked at %s", here.Since, before)
	}
	t.Logf("in effect after %s", here.Since.Sub(before))
	expect("bound in its namespace", ns, true)
	expect("bound in its namespace", other, false)

	everywhere := c.Bind(t, Group("system:serviceaccounts:"+ns), role)
	expect("bound everywhere by its group", other, true)

	// The subject keeps the right by the other binding; the end of this one is seen
	// all the same.
	before = time.Now()
	gone := here.Revoke(t)
	t.Logf("out of effect after %s", gone.Sub(before))
	expect("one of two bindings revoked", ns, true)
	everywhere.Revoke(t)
	expect("both revoked", ns, false)
	everywhere.Revoke(t)

	for name, rule := range map[string]rbacv1.PolicyRule{
		"subresource": {APIGroups: []string{"apps"}, Resources: []string{"deployments/scale"}, Verbs: []string{"update"}},
		"one object":  {APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"one"}, Verbs: []string{"get"}},
		"everything":  {APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
		"all scales":  {APIGroups: []string{"*"}, Resources: []string{"*/scale"}, Verbs: []string{"get"}},
		"a path":      {NonResourceURLs: []string{"/internal/*"}, Verbs: []string{"get"}},
	} {
		t.Run("a role for "+name, func(t *testing.T) {
			c.Bind(t, reader.Subject(), c.Role(t, "odd", rule)).Revoke(t)
		})
	}
	c.BindIn(t, ns, User("jane"), "view").Revoke(t)
}

func testRequests(t *testing.T, c *Cluster) {
	ns := Namespace(t, c)
	tokens, accesses := c.AuthReviews(t)
	gets := c.Requests(t, "configmaps", "GET")
	client := clientOf(t, c)
	for range 3 {
		_, err := client.AuthenticationV1().TokenReviews().Create(t.Context(),
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "none"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		// One that is not there is counted too.
		_, err := client.CoreV1().ConfigMaps(ns).Get(t.Context(), "none", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	eventually(t, "counts", func() string {
		moreTokens, moreAccesses := c.AuthReviews(t)
		if moreTokens-tokens != 3 || moreAccesses != accesses {
			return "reviews are not counted as made"
		}
		// The controllers may read configmaps at the same time.
		if c.Requests(t, "configmaps", "GET")-gets < 5 {
			return "reads are not counted"
		}
		return ""
	})

	t.Run("watches when they end", func(t *testing.T) {
		before := c.Requests(t, "limitranges", "WATCH")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watch, err := client.CoreV1().LimitRanges(ns).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n := c.Requests(t, "limitranges", "WATCH") - before; n != 0 {
			t.Errorf("%d watches have ended", n)
		}
		watch.Stop()
		eventually(t, "a watch that ended", func() string {
			if c.Requests(t, "limitranges", "WATCH") == before {
				return "does not count"
			}
			return ""
		})
	})
}

// testFrontProxy shows the certificates to the API server itself, which trusts its
// front proxy to name users.
func testFrontProxy(t *testing.T, c *Cluster) {
	genuine, named, forged := c.FrontProxy(t), c.FrontProxyNamed(t, "somebody"), ForgedFrontProxy(t, "front-proxy-client")
	wrongCA := c.ClientCertificate(t, "front-proxy-client").Certificate(t)
	for _, tc := range []struct {
		name string
		cert tls.Certificate
		// status of a SelfSubjectReview, and the user in the answer
		status int
		user   string
	}{
		{"genuine", genuine, http.StatusCreated, "mallory"},
		// Two authenticators look at it and neither takes it.
		{"another name", named, http.StatusUnauthorized, ""},
		{"another authority", forged, http.StatusUnauthorized, ""},
		// A user like others, whose headers say nothing.
		{"the cluster's authority", wrongCA, http.StatusCreated, "front-proxy-client"},
	} {
		status, user := reviewAs(t, c, tc.cert, "mallory")
		if status != tc.status || user != tc.user {
			t.Errorf("%s: %d as %q, want %d as %q", tc.name, status, user, tc.status, tc.user)
		}
	}
}

// reviewAs asks who one is with a certificate and a header that says who.
func reviewAs(t *testing.T, c *Cluster, cert tls.Certificate, user string) (status int, seen string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.config.CAData)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, MinVersion: tls.VersionTLS12,
		// Shown whatever authorities the server names as those it takes.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		c.config.Host+"/apis/authentication.k8s.io/v1/selfsubjectreviews",
		strings.NewReader(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Remote-User", user)
	request.Header.Set("X-Remote-Group", "system:authenticated")
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var review authenticationv1.SelfSubjectReview
	if response.StatusCode == http.StatusCreated {
		if err := json.Unmarshal(body, &review); err != nil {
			t.Fatal(err)
		}
	}
	return response.StatusCode, review.Status.UserInfo.Username
}

// TestIdentitiesOfBareCluster does without a controller manager.
func TestIdentitiesOfBareCluster(t *testing.T) {
	issuer, stranger := StartIssuer(t), StartIssuer(t)
	c := start(t, Options{
		GPUNodes: -1, CPUNodes: -1, Components: []string{}, APIServerArgs: issuer.APIServerArgs(),
	})
	t.Run("a certificate by the key", func(t *testing.T) {
		testClientCertificate(t, c)
		if n := c.Requests(t, "certificatesigningrequests", "POST"); n != 0 {
			t.Errorf("%d requests that nobody signs", n)
		}
		admin := c.ClientCertificate(t, "root", "system:masters")
		client, err := kubernetes.NewForConfig(admin.Config())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("tokens of an issuer", func(t *testing.T) { testIssuer(t, c, issuer, stranger) })
	t.Run("no clean-up after a stop", func(t *testing.T) {
		c.ServiceAccount(t, "default", "left")
		c.ClientCertificate(t, "left")
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAttachedByCopy(t *testing.T) {
	t.Parallel()
	c := &Cluster{kubeconfig: t.TempDir() + "/admin.kubeconfig"}
	if _, err := c.authority("ca"); err == nil || !strings.Contains(err.Error(), KubeconfigEnv) {
		t.Errorf("error %v, which does not say what to do", err)
	}
}

func TestSumRequests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/apiserver_request_total.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		resource, verb string
		want           int
	}{
		{"tokenreviews", "POST", 1_000_017},
		{"tokenreviews", "", 1_000_019},
		{"pods", "LIST", 5},
		{"token", "POST", 0},
		{"nodes", "", 0},
	} {
		got, err := sumRequests(text, tc.resource, tc.verb)
		if err != nil || got != tc.want {
			t.Errorf("%s %s: %d, %v; want %d", tc.verb, tc.resource, got, err, tc.want)
		}
	}
}
