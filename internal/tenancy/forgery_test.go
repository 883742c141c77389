package tenancy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/aggregation"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// showing is a client that shows a certificate, whether the server would take it or not.
func (a *peopled) showing(t *testing.T, certificate tls.Certificate, http2 bool) *http.Client {
	t.Helper()
	client := a.client()
	transport := client.Transport.(*http.Transport) //nolint:forcetypeassert // it is ours
	transport.ForceAttemptHTTP2 = http2
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	t.Cleanup(transport.CloseIdleConnections)
	return client
}

// names is a header that says who somebody is, spelled as given.
func names(header ...string) http.Header {
	h := http.Header{}
	for n := 0; n < len(header); n += 2 {
		h[header[n]] = append(h[header[n]], header[n+1])
	}
	return h
}

func (a *peopled) sends(t *testing.T, client *http.Client, path string, header http.Header) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+path, http.NoBody)
	require.NoError(t, err)
	request.Header = header.Clone()
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	var body strings.Builder
	for buffer := make([]byte, 16<<10); body.Len() < 1<<20; { // a stream that should not be there does not end
		n, err := response.Body.Read(buffer)
		body.Write(buffer[:n])
		if err != nil || response.StatusCode == http.StatusOK && strings.Contains(body.String(), "event: synced") {
			break
		}
	}
	return answer{response.StatusCode, response.Header, body.String()}
}

// forgedNames: nobody but the API server may say who somebody is. One who tries is told so even with a good token, since what
// such a request means is not for the server to guess.
func (a *peopled) forgedNames(t *testing.T) {
	clients := map[string]*http.Client{"no certificate": a.client()}
	for what, certificate := range map[string]tls.Certificate{
		"one of the cluster's users":                           a.cluster.ClientCertificate(t, "mallory", "system:mistresses").Certificate(t),
		"a user called like the front proxy":                   a.cluster.ClientCertificate(t, "front-proxy-client").Certificate(t),
		"an authority called like the front proxy's":           devcluster.ForgedFrontProxy(t, "front-proxy-client"),
		"the front proxy's authority and no name":              a.cluster.FrontProxyNamed(t, ""),
		"the front proxy's authority and another name":         a.cluster.FrontProxyNamed(t, "someone-else"),
		"the front proxy's authority and its name in capitals": a.cluster.FrontProxyNamed(t, "Front-Proxy-Client"),
		"the front proxy's authority and a name and a space":   a.cluster.FrontProxyNamed(t, "front-proxy-client "),
	} {
		clients[what+", HTTP/1.1"] = a.showing(t, certificate, false)
		clients[what+", HTTP/2"] = a.showing(t, certificate, true)
	}
	headers := map[string]http.Header{
		"a user":                      names("X-Remote-User", "kubernetes-admin"),
		"a user and groups":           names("X-Remote-User", "kubernetes-admin", "X-Remote-Group", "system:masters", "X-Remote-Group", "devs"),
		"small letters":               names("x-remote-user", "kubernetes-admin", "x-remote-group", "system:masters"),
		"capitals":                    names("X-REMOTE-USER", "kubernetes-admin"),
		"both, with different names":  names("X-Remote-User", "jane", "x-remote-user", "kubernetes-admin"),
		"twice":                       names("X-Remote-User", "jane", "X-Remote-User", "kubernetes-admin"),
		"nobody, and then somebody":   names("X-Remote-User", "", "X-Remote-User", "kubernetes-admin"),
		"nobody":                      names("X-Remote-User", ""),
		"a user who is there":         names("X-Remote-User", a.certificate.name),
		"only a group":                names("X-Remote-Group", "system:masters"),
		"only a number":               names("X-Remote-Uid", "1"),
		"only something else":         names("X-Remote-Extra-Scopes", "all"),
		"only something not known":    names("X-Remote-", "kubernetes-admin"),
		"a user of a front proxy too": names("X-Remote-User", "kubernetes-admin", "X-Forwarded-User", "root", "Impersonate-User", "kubernetes-admin"),
	}
	token := "Bearer " + a.accountReader.Token(t)
	for whose, client := range clients {
		for what, header := range headers {
			for with, authorization := range map[string]string{"": "", " with a good token": token, " with a bad token": "Bearer none"} {
				for _, path := range []string{"/api/me", "/api/stream", aggregation.ProxyPath(a.open) + "/api/deployments"} {
					h := header.Clone()
					if authorization != "" {
						h.Set("Authorization", authorization)
					}
					a.refused(t, a.sends(t, client, path, h), whose+": "+what+with+": "+path)
				}
			}
		}
	}
	// A name with underscores is another header, and no claim: the token counts.
	got := a.sends(t, a.client(), "/api/me", names("X_Remote_User", "kubernetes-admin", "Authorization", token))
	require.Equal(t, http.StatusOK, got.status, got.body)
	assert.Contains(t, got.body, `"username":"`+a.account.name+`"`)
	assert.NotContains(t, got.body, "kubernetes-admin")
	// Impersonation is the API server's business.
	got = a.sends(t, a.client(), "/api/me", names("Impersonate-User", "kubernetes-admin", "Authorization", token))
	assert.Contains(t, got.body, `"username":"`+a.account.name+`"`)
}

// refused is an answer that shows nothing but what to do.
func (a *peopled) refused(t *testing.T, got answer, what string) {
	t.Helper()
	require.Equal(t, http.StatusUnauthorized, got.status, "%s: %s", what, got.body)
	var body api.ErrorBody
	require.NoError(t, json.Unmarshal([]byte(got.body), &body), "%s: %s", what, got.body)
	require.Equal(t, api.ErrorCodeUnauthenticated, body.Error.Code, what)
	require.Contains(t, body.Error.Message, "only from the Kubernetes API server", what)
	for _, secret := range []string{a.open, a.closed, "kept", "kubernetes-admin", a.account.name} {
		require.NotContains(t, got.body, secret, what)
	}
}

// frontProxy: with the certificate that the API server shows, its word is taken, over either protocol.
func (a *peopled) frontProxy(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		client := a.showing(t, a.cluster.FrontProxy(t), http2)
		got := a.sends(t, client, "/api/me", names("X-Remote-User", a.certificate.name, "X-Remote-Group", "system:authenticated", "X-Remote-Group", "ml-team", "X-Remote-Group", "devs"))
		isMe(t, a.certificate, got)
		// It says who somebody is, and is nobody itself.
		for _, header := range []http.Header{{}, names("X-Remote-Group", "system:masters"), names("X-Remote-User", "")} {
			got := a.sends(t, client, "/api/me", header)
			require.Equal(t, http.StatusUnauthorized, got.status, "%v: %s", header, got.body)
		}
		// A token that comes with its word is not looked at: the API server has done that.
		got = a.sends(t, client, "/api/me", names("X-Remote-User", "nobody-with-rights", "Authorization", "Bearer "+a.account.config.BearerToken))
		require.Equal(t, http.StatusOK, got.status, got.body)
		assert.Contains(t, got.body, `"username":"nobody-with-rights"`)
		got = a.sends(t, client, "/api/stream", names("X-Remote-User", "nobody-with-rights"))
		require.Equal(t, http.StatusOK, got.status)
		assert.NotContains(t, got.body, a.open)
	}
}

// anotherAuthority: clusters change the front proxy's authority by letting both be good for a time. The server follows.
func (a *peopled) anotherAuthority(t *testing.T) {
	authority, certificate := newProxy(t, "front-proxy-client")
	a.edited(t, a.showing(t, certificate, false), func(data map[string]string) {
		data["requestheader-client-ca-file"] += "\n" + authority
	})
}

// anotherName: and so with the names that its certificate may have.
func (a *peopled) anotherName(t *testing.T) {
	a.edited(t, a.showing(t, a.cluster.FrontProxyNamed(t, "second-proxy"), false), func(data map[string]string) {
		var names []string
		require.NoError(t, json.Unmarshal([]byte(data["requestheader-allowed-names"]), &names))
		encoded, err := json.Marshal(append(names, "second-proxy"))
		require.NoError(t, err)
		data["requestheader-allowed-names"] = string(encoded)
	})
}

// edited lets a client in by a change of what the API server says of its proxies, and keeps it out when it is taken back.
func (a *peopled) edited(t *testing.T, client *http.Client, edit func(map[string]string)) {
	t.Helper()
	admin, err := kubernetes.NewForConfig(a.cluster.Config())
	require.NoError(t, err)
	maps := admin.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	before, err := maps.Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
	require.NoError(t, err)
	header := names("X-Remote-User", a.certificate.name, "X-Remote-Group", "ml-team", "X-Remote-Group", "devs")
	write := func(data map[string]string) {
		now, err := maps.Get(t.Context(), before.Name, metav1.GetOptions{})
		require.NoError(t, err)
		now.Data = data
		_, err = maps.Update(t.Context(), now, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	becomes := func(status int) {
		t.Helper()
		began := time.Now()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			got := a.sends(t, client, "/api/me", header)
			require.Equal(c, status, got.status, got.body)
		}, patience, 50*time.Millisecond)
		t.Logf("%d after %s", status, time.Since(began))
	}
	a.refused(t, a.sends(t, client, "/api/me", header), "before")
	changed := before.DeepCopy()
	edit(changed.Data)
	write(changed.Data)
	becomes(http.StatusOK)
	isMe(t, a.certificate, a.sends(t, client, "/api/me", header))
	isMe(t, a.certificate, a.asks(t, a.certificate, http.MethodGet, "/api/me"))
	write(before.Data)
	becomes(http.StatusUnauthorized)
	a.refused(t, a.sends(t, client, "/api/me", header), "after")
	isMe(t, a.certificate, a.asks(t, a.certificate, http.MethodGet, "/api/me"))
	var after *corev1.ConfigMap
	after, err = maps.Get(t.Context(), before.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, before.Data, after.Data)
}

// newProxy makes an authority, PEM, and a client certificate of it.
func newProxy(t *testing.T, commonName string) (authority string, certificate tls.Certificate) {
	t.Helper()
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := template("the next front proxy's authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	require.NoError(t, err)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leaf := template(commonName)
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	signed, err := x509.CreateCertificate(rand.Reader, leaf, ca, own.Public(), key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: own}
}
