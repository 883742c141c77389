package devcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

const (
	oidcClientID = "kubefoundry-test"
	// oidcPrefix is in front of the names of users and groups, as most clusters
	// have one: it keeps an issuer from naming users of the cluster.
	oidcPrefix = "oidc:"
	oidcKeyID  = "1"
)

// Issuer is an OpenID Connect provider on loopback without logins: it hands any
// token to the test that asks. It is for a cluster that is started after it, by
// the same test, with its [Issuer.APIServerArgs].
//
// Two delays of the API server show in tests. It reads the issuer's keys in the
// background after its start and refuses tokens until then, for milliseconds as a
// rule and for ten seconds if the first attempt fails. And it keeps the outcome of
// a token that it has accepted for ten seconds, so that one may be accepted up to
// ten seconds beyond its expiry.
type Issuer struct {
	// URL is the issuer's name and address.
	URL string

	key    *ecdsa.PrivateKey
	caFile string
}

// StartIssuer starts an issuer that ends with the test.
func StartIssuer(t testing.TB) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("issuer: %v", err)
	}
	keys, err := keySet(key)
	if err != nil {
		t.Fatalf("issuer: %v", err)
	}
	i := &Issuer{key: key, caFile: filepath.Join(t.TempDir(), "issuer.crt")}
	documents := http.NewServeMux()
	server := httptest.NewTLSServer(documents)
	t.Cleanup(server.Close)
	i.URL = server.URL
	discovery, err := json.Marshal(map[string]any{
		"issuer":                                i.URL,
		"jwks_uri":                              i.URL + "/keys",
		"authorization_endpoint":                i.URL + "/authorize",
		"token_endpoint":                        i.URL + "/token",
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
	if err != nil {
		t.Fatalf("issuer: %v", err)
	}
	documents.HandleFunc("GET /.well-known/openid-configuration", document(discovery))
	documents.HandleFunc("GET /keys", document(keys))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(i.caFile, ca, 0o600); err != nil {
		t.Fatalf("issuer: %v", err)
	}
	return i
}

func document(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(data)
	}
}

// keySet is the document with the public key (RFC 7517).
func keySet(key *ecdsa.PrivateKey) ([]byte, error) {
	// 4, x and y, 32 bytes each.
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": oidcKeyID,
		"x": encodeSegment(point[1:33]),
		"y": encodeSegment(point[33:]),
	}}})
}

// APIServerArgs are for [Options.APIServerArgs] of a cluster that takes the
// issuer's tokens.
func (i *Issuer) APIServerArgs() []string {
	return []string{
		"--oidc-issuer-url=" + i.URL,
		"--oidc-client-id=" + oidcClientID,
		"--oidc-ca-file=" + i.caFile,
		"--oidc-signing-algs=ES256",
		"--oidc-username-claim=sub",
		"--oidc-username-prefix=" + oidcPrefix,
		"--oidc-groups-claim=groups",
		"--oidc-groups-prefix=" + oidcPrefix,
	}
}

// User names a token's subject in a binding.
func (i *Issuer) User(subject string) rbacv1.Subject { return User(oidcPrefix + subject) }

// Group names a token's group in a binding.
func (i *Issuer) Group(name string) rbacv1.Subject { return Group(oidcPrefix + name) }

// Token signs a token that expires after the given time, to the second below;
// after a negative one it has expired already. The API server calls the user
// "oidc:" and subject, and the groups likewise.
func (i *Issuer) Token(t testing.TB, subject string, groups []string, expires time.Duration) string {
	t.Helper()
	now := time.Now()
	return i.Sign(t, map[string]any{
		"iss": i.URL, "aud": oidcClientID, "sub": subject, "groups": groups,
		"iat": min(now.Unix(), now.Add(expires).Unix()), "exp": now.Add(expires).Unix(),
	})
}

// Sign signs any claims, for tokens that are wrong in other ways than expiry.
func (i *Issuer) Sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	header, err := json.Marshal(map[string]string{"alg": "ES256", "kid": oidcKeyID, "typ": "JWT"})
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	text := encodeSegment(header) + "." + encodeSegment(payload)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	// RFC 7518, 3.4: both numbers in 32 bytes, not ASN.1.
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + encodeSegment(signature[:])
}

func encodeSegment(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
