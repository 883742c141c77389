package devcluster

import (
	"context"
	"crypto/tls"
	"errors"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// tokenLifetime is what an identity's own token and certificate live, longer
	// than any test.
	tokenLifetime = time.Hour
	// identityTimeout bounds what happens within milliseconds on an idle machine.
	identityTimeout = 30 * time.Second
	// identityPoll is short, so that the times that are told are close to the
	// event, and no burden for the length of a test's preparation.
	identityPoll = 5 * time.Millisecond
	cleanupLimit = 10 * time.Second
)

// Identity is somebody whom the API server knows, with nothing but the rights of
// every authenticated user until [Cluster.Bind] gives them more.
type Identity struct {
	// Name is the user name, "system:serviceaccount:ml:reader" or "jane".
	Name string
	// Groups are those that the credentials claim. The API server adds
	// system:authenticated, and for ServiceAccounts two more.
	Groups []string

	cluster *Cluster
	// One of the two: token, with the ServiceAccount it is of, or certificate.
	token              string
	namespace, account string
	certificate        pair
}

// Config is a client configuration with the identity's credentials, a new copy
// each time: of a ServiceAccount a token of an hour, otherwise the certificate.
func (i *Identity) Config() *rest.Config {
	if i.token != "" {
		return i.cluster.Bearer(i.token)
	}
	config := rest.AnonymousClientConfig(i.cluster.config)
	config.CertData, config.KeyData = i.certificate.cert, i.certificate.key
	return config
}

// Subject names the identity in a binding.
func (i *Identity) Subject() rbacv1.Subject {
	if i.account != "" {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: i.namespace, Name: i.account}
	}
	return User(i.Name)
}

// Token mints a token of an hour. Without audiences it is for the API server;
// with audiences it is for those only.
func (i *Identity) Token(t testing.TB, audiences ...string) string {
	t.Helper()
	return i.TokenFor(t, tokenLifetime, audiences...)
}

// TokenFor mints a token that lives that long. The API asks for ten minutes or
// more; [Issuer.Token] gives shorter ones.
func (i *Identity) TokenFor(t testing.TB, lifetime time.Duration, audiences ...string) string {
	t.Helper()
	if i.account == "" {
		t.Fatalf("token of %s: only ServiceAccounts have tokens", i.Name)
	}
	seconds := int64(lifetime.Seconds())
	made, err := i.cluster.admin(t).CoreV1().ServiceAccounts(i.namespace).CreateToken(t.Context(), i.account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: &seconds}},
		metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("token of %s: %v", i.Name, err)
	}
	return made.Status.Token
}

// Certificate is what the identity shows to a server over TLS.
func (i *Identity) Certificate(t testing.TB) tls.Certificate {
	t.Helper()
	if i.certificate.cert == nil {
		t.Fatalf("certificate of %s: it has a token and no certificate", i.Name)
	}
	return i.certificate.tls(t)
}

// User names a user in a binding, by the name that the API server sees.
func User(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
}

// Group names a group in a binding, by the name that the API server sees.
func Group(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name}
}

// Bearer is the configuration of a client that shows a token and nothing else.
// With "" it is nobody's.
func (c *Cluster) Bearer(token string) *rest.Config {
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token
	return config
}

// ServiceAccount creates a ServiceAccount in a namespace that is there, and
// deletes it when the test ends. One of this name that is there already is taken
// as it is, and stays.
func (c *Cluster) ServiceAccount(t testing.TB, namespace, name string) *Identity {
	t.Helper()
	accounts := c.admin(t).CoreV1().ServiceAccounts(namespace)
	_, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
	case err != nil:
		t.Fatalf("service account %s/%s: %v", namespace, name, err)
	default:
		c.cleanup(t, "service account "+namespace+"/"+name, func(ctx context.Context) error {
			return accounts.Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	i := &Identity{
		Name:    "system:serviceaccount:" + namespace + ":" + name,
		cluster: c, namespace: namespace, account: name,
	}
	i.token = i.Token(t)
	return i
}

// admin is an administrator's client that is not throttled: polls are short.
func (c *Cluster) admin(t testing.TB) kubernetes.Interface {
	t.Helper()
	config := c.Config()
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatalf("administrator's client: %v", err)
	}
	return client
}

// cleanup has something deleted when the test ends. That it is gone already is
// well, and so is a cluster that the test has stopped.
func (c *Cluster) cleanup(t testing.TB, what string, remove func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		if c.ended() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
		defer cancel()
		if err := remove(ctx); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", what, err)
		}
	})
}

func (c *Cluster) ended() bool {
	select {
	case <-c.exited: // nil and therefore silent for a cluster that was attached to
		return true
	default:
		return false
	}
}

// errNoFolder tells what to do about keys that are out of reach.
var errNoFolder = errors.New("the cluster's keys are not beside its kubeconfig; " +
	"start the cluster here, or set " + KubeconfigEnv + " to the admin.kubeconfig in the cluster's own folder")

// file is the path of a file in the cluster's folder, which the kubeconfig of an
// attached cluster lies in too, unless it is a copy.
func (c *Cluster) file(name ...string) string {
	dir := c.dir
	if dir == "" {
		dir = filepath.Dir(c.kubeconfig)
	}
	return filepath.Join(append([]string{dir}, name...)...)
}
