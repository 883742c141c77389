package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// delegated asks an API server that knows one token, Jane's, and a front proxy of an authority.
func delegated(t *testing.T) (*Delegated, *apiServer, authority) {
	t.Helper()
	server, proxies := newAPIServer(t), newAuthority(t)
	server.knows("janes", authenticationv1.UserInfo{Username: "jane", UID: "7", Groups: []string{"team"}, Extra: map[string]authenticationv1.ExtraValue{"scope": {"a", "b"}}})
	server.access = func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{}
	}
	server.proxy.Data = map[string]string{
		"requestheader-client-ca-file":       proxies.pem(),
		"requestheader-allowed-names":        `["front-proxy"]`,
		"requestheader-username-headers":     `["X-Remote-User"]`,
		"requestheader-uid-headers":          `["X-Remote-Uid"]`,
		"requestheader-group-headers":        `["X-Remote-Group"]`,
		"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
	}
	d, err := NewDelegated(Options{Config: server.config(), Rights: rules, Documents: &places{}, Logger: zap.NewNop()})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool {
		options, ok := d.proxy.ca.VerifyOptions()
		return ok && options.Roots != nil && len(d.proxy.headers.UsernameHeaders()) == 1
	}, 10*time.Second, 10*time.Millisecond)
	return d, server, proxies
}

// request has headers as given, spelt as they are.
func request(header ...string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/api/me", http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
	}
	return r
}

func TestTokens(t *testing.T) {
	t.Parallel()
	d, server, _ := delegated(t)
	for _, spelling := range []string{"Bearer janes", "bearer janes", "BEARER janes", "Bearer  janes", " Bearer janes "} {
		r := request("Authorization", spelling)
		c, err := d.Authenticate(r)
		require.NoError(t, err, spelling)
		require.Equal(t, "jane", c.Name())
		require.Equal(t, []string{"team", "system:authenticated"}, c.Groups())
		require.Equal(t, api.MeViaToken, c.Via())
		require.Empty(t, r.Header, "nobody behind gets the token")
	}
	require.Len(t, server.tokenReviews(), 1)
	for _, header := range []string{"", "Bearer", "Bearer ", "janes", "Basic janes", "Bearer janes janes", "Bearerjanes", "Bearer\tjanes", "Bearer, janes", "Negotiate janes"} {
		r := request("Authorization", header)
		c, err := d.Authenticate(r)
		require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err), header)
		require.Nil(t, c)
		require.Empty(t, r.Header)
	}
	require.Len(t, server.tokenReviews(), 1, "these are no questions")
	r := request("Authorization", "Bearer other")
	_, err := d.Authenticate(r)
	require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))
	require.Empty(t, r.Header)
}

// Whoever names a user without the proxy's certificate gets nothing, not even as themselves: the header would have been
// believed by some other server.
func TestNamesAreBelievedFromTheFrontProxyOnly(t *testing.T) {
	t.Parallel()
	d, server, proxies := delegated(t)
	strangers := map[string]*tls.ConnectionState{
		"no TLS":                  nil,
		"no certificate":          {},
		"another authority":       newAuthority(t).issue(t, "front-proxy", x509.ExtKeyUsageClientAuth),
		"another name":            proxies.issue(t, "kubelet", x509.ExtKeyUsageClientAuth),
		"a server's certificate":  proxies.issue(t, "front-proxy", x509.ExtKeyUsageServerAuth),
		"the authority itself":    {PeerCertificates: []*x509.Certificate{proxies.certificate}},
		"behind a stranger's own": {PeerCertificates: append(newAuthority(t).issue(t, "front-proxy", x509.ExtKeyUsageClientAuth).PeerCertificates, proxies.issue(t, "front-proxy", x509.ExtKeyUsageClientAuth).PeerCertificates...)},
	}
	for name, state := range strangers {
		for _, header := range []string{"X-Remote-User", "x-remote-user", "X-REMOTE-USER", "X-Remote-Group", "X-Remote-Uid", "x-Remote-Extra-scope", "X-Remote-", "X-Remote-Anything"} {
			for _, value := range []string{"admin", ""} {
				for _, token := range [][]string{nil, {"Authorization", "Bearer janes"}} {
					r := request(append(token, header, value)...)
					r.TLS = state
					c, err := d.Authenticate(r)
					require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err), "%s: %s", name, header)
					require.Nil(t, c)
					require.NotContains(t, r.Header, "Authorization")
				}
			}
		}
	}
	require.Empty(t, server.tokenReviews(), "the token beside is not looked at")
}

// What no server takes for a proxy's header is no claim, and names nobody.
func TestOtherHeadersNameNobody(t *testing.T) {
	t.Parallel()
	d, _, _ := delegated(t)
	for _, header := range []string{"X_Remote_User", "X-Remote", "X-RemoteUser", "XX-Remote-User", "Remote-User", "X-Forwarded-User", "Impersonate-User", "X-Remote_User", " X-Remote-User"} {
		c, err := d.Authenticate(request("Authorization", "Bearer janes", header, "admin"))
		require.NoError(t, err, header)
		require.Equal(t, "jane", c.Name())
		_, err = d.Authenticate(request(header, "admin"))
		require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err), header)
	}
}

func TestTheFrontProxyNamesUsers(t *testing.T) {
	t.Parallel()
	d, server, proxies := delegated(t)
	r := request("X-Remote-User", "joan", "X-Remote-Uid", "8", "X-Remote-Group", "a", "X-Remote-Group", "b", "X-Remote-Extra-Scope", "x", "X-Remote-Extra-Acme.org%2fkey", "y", "Authorization", "Bearer janes")
	r.TLS = proxies.issue(t, "front-proxy", x509.ExtKeyUsageClientAuth)
	c, err := d.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, "joan", c.Name())
	require.Equal(t, []string{"a", "b", "system:authenticated"}, c.Groups())
	require.Equal(t, api.MeViaAggregation, c.Via())
	require.Empty(t, r.Header, "neither their name nor the token goes any further")
	require.Empty(t, server.tokenReviews())

	config := d.Config(c)
	require.Equal(t, rest.ImpersonationConfig{
		UserName: "joan", UID: "8", Groups: []string{"a", "b", "system:authenticated"}, Extra: map[string][]string{"scope": {"x"}, "acme.org/key": {"y"}},
	}, config.Impersonate)
	require.Equal(t, "the server's own", config.BearerToken)

	nameless := request("X-Remote-Group", "system:masters")
	nameless.TLS = r.TLS
	_, err = d.Authenticate(nameless)
	require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err), "a group without a user")
	own := request("Authorization", "Bearer janes")
	own.TLS = r.TLS
	c, err = d.Authenticate(own)
	require.NoError(t, err)
	require.Equal(t, "jane", c.Name(), "the certificate alone is nobody")
}

func TestACallersOwnToken(t *testing.T) {
	t.Parallel()
	d, _, _ := delegated(t)
	d.config.TLSClientConfig = rest.TLSClientConfig{CertData: []byte("certificate"), KeyData: []byte("key"), CAData: []byte("authority")}
	d.config.Username, d.config.Password, d.config.Impersonate.UserName = "the server", "secret", "somebody"
	c, err := d.Authenticate(request("Authorization", "Bearer janes"))
	require.NoError(t, err)
	config := d.Config(c)
	require.Equal(t, "janes", config.BearerToken)
	require.Empty(t, config.CertData)
	require.Empty(t, config.KeyData)
	require.Empty(t, config.Username)
	require.Empty(t, config.Password)
	require.Empty(t, config.Impersonate.UserName)
	require.Equal(t, []byte("authority"), config.CAData)
}

func TestWhatIsAskedOfTheAPIServer(t *testing.T) {
	t.Parallel()
	d, server, _ := delegated(t)
	server.access = func(s authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: s.NonResourceAttributes != nil, Denied: s.NonResourceAttributes == nil}
	}
	c, err := d.Authenticate(request("Authorization", "Bearer janes"))
	require.NoError(t, err)
	allowed, err := d.MayGet(t.Context(), c, "/metrics")
	require.NoError(t, err)
	require.True(t, allowed)
	asked := server.reviews[0]
	require.Equal(t, authorizationv1.SubjectAccessReviewSpec{
		User: "jane", UID: "7", Groups: []string{"team", "system:authenticated"}, Extra: map[string]authorizationv1.ExtraValue{"scope": {"a", "b"}},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
	}, asked)
	allowed, err = d.reviews.allowed(t.Context(), c.user, Right{Verb: "get", Group: "g", Resource: "r", Name: "n"}, "ns")
	require.NoError(t, err)
	require.False(t, allowed)
	require.Equal(t, &authorizationv1.ResourceAttributes{Namespace: "ns", Verb: "get", Group: "g", Version: "*", Resource: "r", Name: "n"}, server.reviews[1].ResourceAttributes)
	require.Empty(t, server.tokenReviews()[0].Audiences, "the API server's own")
}

// An API server that grants something and fails, or says both yes and no, grants nothing.
func TestOnlyAPlainYesIsOne(t *testing.T) {
	t.Parallel()
	d, server, _ := delegated(t)
	c, err := d.Authenticate(request("Authorization", "Bearer janes"))
	require.NoError(t, err)
	for _, status := range []authorizationv1.SubjectAccessReviewStatus{
		{}, {Denied: true}, {EvaluationError: "webhook"}, {Reason: "allowed"}, {Allowed: true, Denied: true},
	} {
		server.set(func() {
			server.access = func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus { return status }
		})
		allowed, _ := d.MayGet(t.Context(), c, "/metrics")
		require.False(t, allowed, "%+v", status)
	}
}

func TestAnAPIServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, fail := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, server, _ := delegated(t)
			c, err := d.Authenticate(request("Authorization", "Bearer janes"))
			require.NoError(t, err)
			server.set(func() { server.fail = fail })
			unavailable := func(err error) {
				t.Helper()
				require.Equal(t, api.ErrorCodeUnavailable, code(t, err))
				require.NotContains(t, err.Error(), server.host, "where the API server is, is not for callers")
			}
			_, err = d.Authenticate(request("Authorization", "Bearer others"))
			unavailable(err)
			g, err := d.Grant(t.Context(), c)
			unavailable(err)
			require.Nil(t, g.Sight)
			allowed, err := d.MayGet(t.Context(), c, "/metrics")
			unavailable(err)
			require.False(t, allowed)

			server.set(func() { server.fail = nil })
			_, err = d.Authenticate(request("Authorization", "Bearer others"))
			require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err), "nothing of the outage is kept")
			g, err = d.Grant(t.Context(), c)
			require.NoError(t, err)
			require.NotNil(t, g.Sight)
		})
	}
}

// A stream's grant ends with the token, and follows what the API server makes of it.
func TestGrantsOfATokenEndWithIt(t *testing.T) {
	t.Parallel()
	d, server, _ := delegated(t)
	token := jwt(time.Now().Add(5 * time.Second))
	server.knows(token, authenticationv1.UserInfo{Username: "jane"})
	c, err := d.Authenticate(request("Authorization", "Bearer "+token))
	require.NoError(t, err)
	g, err := d.Grant(t.Context(), c)
	require.NoError(t, err)
	require.LessOrEqual(t, time.Until(g.Until), 5*time.Second)

	server.knows("another", authenticationv1.UserInfo{})
	d.tokens.forget(time.Now().Add(time.Hour))
	_, err = d.Grant(t.Context(), c)
	require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))

	// The groups count that they have now.
	server.knows("janes", authenticationv1.UserInfo{Username: "jane", Groups: []string{"team"}})
	server.set(func() {
		server.access = func(s authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
			return authorizationv1.SubjectAccessReviewStatus{Allowed: s.Groups[0] == "team"}
		}
	})
	c, err = d.Authenticate(request("Authorization", "Bearer janes"))
	require.NoError(t, err)
	g, err = d.Grant(t.Context(), c)
	require.NoError(t, err)
	require.True(t, g.Sight.IncludesAll(api.KindDeployments))
	server.knows("janes", authenticationv1.UserInfo{Username: "jane", Groups: []string{"left"}})
	d.tokens.forget(time.Now().Add(time.Hour))
	g, err = d.Grant(t.Context(), c)
	require.NoError(t, err)
	require.False(t, g.Sight.IncludesAll(api.KindDeployments))
}

func TestAudiences(t *testing.T) {
	t.Parallel()
	server := newAPIServer(t)
	client, err := kubernetes.NewForConfig(server.config())
	require.NoError(t, err)
	tokens, err := NewTokens(client, "nats", "automation")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		said []string // for which audiences the API server says that the token is
		want api.ErrorCode
	}{
		"one of them":     {[]string{"automation"}, ""},
		"another":         {[]string{"https://kubernetes.default.svc"}, api.ErrorCodeUnauthenticated},
		"none is known":   {nil, api.ErrorCodeUnauthenticated},
		"one and another": {[]string{"other", "nats"}, ""},
	} {
		server.set(func() {
			server.token = func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
				return authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "jane"}, Audiences: tc.said}
			}
		})
		_, _, err := tokens.Caller(t.Context(), "token-"+name[:3])
		require.Equal(t, tc.want, code(t, err), name)
	}
	for _, asked := range server.tokenReviews() {
		require.Equal(t, []string{"nats", "automation"}, asked.Audiences)
	}
}

func TestUncheckedIsTheKubeconfig(t *testing.T) {
	t.Parallel()
	u := NewUnchecked(&rest.Config{Host: "https://cluster", BearerToken: "own"}, "laptop")
	r := request("Authorization", "Bearer x", "X-Remote-User", "admin")
	c, err := u.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, "laptop", c.Name())
	require.Equal(t, api.MeViaKubeconfig, c.Via())
	require.NotContains(t, r.Header, "Authorization")
	g, err := u.Grant(t.Context(), c)
	require.NoError(t, err)
	require.True(t, g.Valid(time.Now().Add(time.Hour)))
	require.Equal(t, api.Everything(), g.Sight)
	may, err := u.MayGet(t.Context(), c, "/metrics")
	require.NoError(t, err)
	require.True(t, may)
	require.Equal(t, "own", u.Config(c).BearerToken)
}
