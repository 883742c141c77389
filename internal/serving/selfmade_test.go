package serving

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

const (
	service    = "kubefoundry"
	secretName = service + "-serving-certificate"
)

// site is a namespace, in which the server's ServiceAccount has the rights that it has in a real one.
type site struct {
	admin     kubernetes.Interface
	config    *rest.Config // of the ServiceAccount
	namespace string
}

func newSite(t *testing.T) *site {
	t.Helper()
	c := shared.Cluster(t)
	s := &site{config: c.Config(), namespace: devcluster.Namespace(t, c)}
	var err error
	s.admin, err = kubernetes.NewForConfig(s.config)
	require.NoError(t, err)
	user := "system:serviceaccount:" + s.namespace + ":" + service
	s.config.Impersonate = rest.ImpersonationConfig{UserName: user}
	s.config.QPS = -1
	named := metav1.ObjectMeta{Name: service}
	_, err = s.admin.RbacV1().Roles(s.namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: named, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secretName}, Verbs: []string{"get", "update"}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.admin.RbacV1().RoleBindings(s.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: named, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: service},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	// The authorizer learns of it by a watch.
	client, err := kubernetes.NewForConfig(s.config)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := client.CoreV1().Secrets(s.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}},
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	return s
}

// options are those of one replica.
func (s *site) options(t *testing.T) Options {
	t.Helper()
	client, err := kubernetes.NewForConfig(s.config)
	require.NoError(t, err)
	aggregation, err := dynamic.NewForConfig(s.config)
	require.NoError(t, err)
	return Options{
		Client: client, Aggregation: aggregation, Namespace: s.namespace, Service: service,
		Log: zaptest.NewLogger(t), checkEvery: 50 * time.Millisecond,
	}
}

func (s *site) secret(t *testing.T) *corev1.Secret {
	t.Helper()
	secret, err := s.admin.CoreV1().Secrets(s.namespace).Get(t.Context(), secretName, metav1.GetOptions{})
	require.NoError(t, err)
	return secret
}

func (s *site) update(t *testing.T, change func(*corev1.Secret)) {
	t.Helper()
	require.Eventually(t, func() bool {
		secret := s.secret(t)
		change(secret)
		_, err := s.admin.CoreV1().Secrets(s.namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
		return err == nil
	}, 5*time.Second, time.Millisecond)
}

func selfMadeCertificate(t *testing.T, o Options) *Certificate {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := SelfMade(ctx, o)
	require.NoError(t, err)
	return c
}

func TestReplicasAtOnceShareOneAuthority(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const replicas = 8
	made := make([]*Certificate, replicas)
	var group sync.WaitGroup
	for i := range replicas {
		o := s.options(t)
		group.Go(func() {
			var err error
			made[i], err = SelfMade(t.Context(), o)
			assert.NoError(t, err)
		})
	}
	group.Wait()
	require.False(t, t.Failed())
	for _, c := range made {
		assert.Equal(t, made[0].CA(), c.CA())
		assert.Equal(t, made[0].current.Load().certificate.Certificate, c.current.Load().certificate.Certificate)
	}

	ca := made[1].CA()
	address := listen(t, made[0])
	for _, name := range []string{
		service, service + "." + s.namespace, service + "." + s.namespace + ".svc", service + "." + s.namespace + ".svc.cluster.local",
		service + "-nats", service + "-nats." + s.namespace + ".svc", "localhost", "127.0.0.1", "::1",
	} {
		leaf, err := shown(t, address, name, ca)
		require.NoError(t, err, name)
		assert.WithinDuration(t, time.Now().Add(90*24*time.Hour), leaf.NotAfter, time.Hour)
	}
	_, err := shown(t, address, "example.com", ca)
	assert.Error(t, err)

	again := selfMadeCertificate(t, s.options(t)) // a restart
	assert.Equal(t, ca, again.CA())
	assert.Equal(t, s.secret(t).Data[keyAuthority], ca)
	assert.Equal(t, corev1.SecretTypeTLS, s.secret(t).Type)
}

func TestRenewalWithoutARestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var replicas []*Certificate
	var addresses []string
	for range 2 {
		o := s.options(t)
		o.servingLife = 9 * time.Second
		c := selfMadeCertificate(t, o)
		running(t, c)
		replicas, addresses = append(replicas, c), append(addresses, listen(t, c))
	}
	ca, first := replicas[0].CA(), s.secret(t)
	serials := map[string]int{}
	for begun := time.Now(); time.Since(begun) < 14*time.Second; time.Sleep(100 * time.Millisecond) {
		for i, address := range addresses {
			leaf, err := shown(t, address, service+"."+s.namespace+".svc", ca)
			require.NoError(t, err, "replica %d after %s", i, time.Since(begun))
			serials[leaf.SerialNumber.String()]++
		}
	}
	assert.Len(t, serials, 3, "renewed after 6 and 12 s, by one replica for both: %v", serials)
	assert.Equal(t, ca, replicas[1].CA())
	assert.NotEqual(t, first.Data[keyServing], s.secret(t).Data[keyServing])
	assert.Equal(t, first.Data[keyAuthorityPrivate], s.secret(t).Data[keyAuthorityPrivate])
}

func TestAuthorityIsReplacedBeforeItEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	o := s.options(t)
	o.authorityLife = 100 * 24 * time.Hour // longer than the 90 days, by less than a third of them
	old := selfMadeCertificate(t, o)
	require.NotNil(t, old.CA())
	ca, err := parseAuthority(pemPair{cert: s.secret(t).Data[keyAuthority], key: s.secret(t).Data[keyAuthorityPrivate]}, time.Now(), 0)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(o.authorityLife), ca.certificate.NotAfter, time.Hour)
	_, err = newVault(s.options(t)).authority(s.secret(t), time.Now().Add(11*24*time.Hour))
	assert.ErrorContains(t, err, "it is not valid after", "it could not sign one that lives for 90 days")
}

func TestDamagedSecretIsRepaired(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	stranger, strangerCA := newPair(t)
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, data map[string][]byte)
		kept   bool // the authority
	}{
		{"no serving certificate", func(_ *testing.T, d map[string][]byte) { d[keyServing] = []byte("") }, true},
		{"key is no PEM", func(_ *testing.T, d map[string][]byte) { d[keyServingPrivate] = []byte("what?") }, true},
		{"key of another", func(_ *testing.T, d map[string][]byte) { d[keyServingPrivate] = stranger.key }, true},
		{"of another authority", func(_ *testing.T, d map[string][]byte) {
			d[keyServing], d[keyServingPrivate] = stranger.cert, stranger.key
		}, true},
		{"for another name", func(t *testing.T, d map[string][]byte) { reissue(t, d, subjectOf("models", "other"), time.Now()) }, true},
		{"expired", func(t *testing.T, d map[string][]byte) {
			reissue(t, d, subjectOf(s.namespace, service), time.Now().Add(-91*24*time.Hour))
		}, true},
		{"due", func(t *testing.T, d map[string][]byte) {
			reissue(t, d, subjectOf(s.namespace, service), time.Now().Add(-61*24*time.Hour))
		}, true},
		{"authority is missing", func(_ *testing.T, d map[string][]byte) { delete(d, keyAuthority) }, false},
		{"authority's key is cut", func(_ *testing.T, d map[string][]byte) {
			d[keyAuthorityPrivate] = d[keyAuthorityPrivate][:60]
		}, false},
		{"authority is none", func(_ *testing.T, d map[string][]byte) {
			d[keyAuthority], d[keyAuthorityPrivate] = stranger.cert, stranger.key
		}, false},
		{"authority ends soon", func(_ *testing.T, d map[string][]byte) {
			d[keyAuthority], d[keyAuthorityPrivate] = strangerCA.cert, strangerCA.pemPair.key
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := selfMadeCertificate(t, s.options(t))
			s.update(t, func(secret *corev1.Secret) { tc.change(t, secret.Data) })
			after := selfMadeCertificate(t, s.options(t))
			assert.Equal(t, tc.kept, bytes.Equal(before.CA(), after.CA()))
			_, err := shown(t, listen(t, after), service+"."+s.namespace+".svc", after.CA())
			assert.NoError(t, err)
			assert.Equal(t, after.CA(), s.secret(t).Data[keyAuthority])
		})
	}
}

// reissue replaces the serving certificate of a Secret's data by one of the same authority.
func reissue(t *testing.T, data map[string][]byte, s subject, at time.Time) {
	t.Helper()
	ca, err := parseAuthority(pemPair{cert: data[keyAuthority], key: data[keyAuthorityPrivate]}, time.Now(), 0)
	require.NoError(t, err)
	pair, err := ca.issue(s, at, servingLife)
	require.NoError(t, err)
	data[keyServing], data[keyServingPrivate] = pair.cert, pair.key
}

func TestDeletedSecretIsMadeAnewForAllReplicas(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one, two := selfMadeCertificate(t, s.options(t)), selfMadeCertificate(t, s.options(t))
	running(t, one)
	running(t, two)
	old := one.CA()
	require.NoError(t, s.admin.CoreV1().Secrets(s.namespace).Delete(t.Context(), secretName, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return !bytes.Equal(old, one.CA()) && bytes.Equal(one.CA(), two.CA()) }, 10*time.Second, 10*time.Millisecond)
}

// dropping loses the first requests.
type dropping struct {
	http.RoundTripper

	left *atomic.Int32
}

func (d dropping) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.left.Add(-1) >= 0 {
		return nil, errors.New("connection refused")
	}
	return d.RoundTripper.RoundTrip(r)
}

func TestAPIServerThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var left atomic.Int32
	left.Store(2)
	s.config.Wrap(func(next http.RoundTripper) http.RoundTripper { return dropping{next, &left} })
	o := s.options(t)
	core, logs := observer.New(zap.WarnLevel)
	o.Log = zap.New(core)
	selfMadeCertificate(t, o)
	assert.Equal(t, 2, logs.FilterMessage("no serving certificate yet; trying again").Len())

	left.Store(1 << 20)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := SelfMade(ctx, o)
	assert.ErrorContains(t, err, "serving certificate: secret "+s.namespace+"/"+secretName+": get: ")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestMissingRightsAreNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Impersonate.UserName = "nobody"
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := SelfMade(ctx, s.options(t))
	assert.ErrorContains(t, err, "allow this server's ServiceAccount to create secrets in the namespace, and to get and update this one")
	_, err = SelfMade(ctx, Options{})
	assert.ErrorIs(t, err, errOptions)
}

// What is served goes on when the API server does not answer any more.
func TestOutageWhileRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var left atomic.Int32
	s.config.Wrap(func(next http.RoundTripper) http.RoundTripper { return dropping{next, &left} })
	o := s.options(t)
	core, logs := observer.New(zap.WarnLevel)
	o.Log, o.Aggregation = zap.New(core), nil
	c := selfMadeCertificate(t, o)
	left.Store(1 << 20)
	running(t, c)
	require.Eventually(t, func() bool { return left.Load() < 1<<20-5 }, 5*time.Second, 10*time.Millisecond)
	_, err := shown(t, listen(t, c), service, c.CA())
	assert.NoError(t, err)
	assert.Equal(t, 1, logs.Len(), "said once: %v", logs.All())
	left.Store(0)
	s.update(t, func(secret *corev1.Secret) { delete(secret.Data, keyAuthority) })
	old := c.CA()
	require.Eventually(t, func() bool { return !bytes.Equal(old, c.CA()) }, 5*time.Second, 10*time.Millisecond)
}
