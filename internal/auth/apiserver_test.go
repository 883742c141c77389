package auth

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
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// apiServer answers reviews, and says by which certificate a front proxy is known: what this package asks an API server for.
type apiServer struct {
	url  string
	host string // without the scheme, which no message may tell

	mu      sync.Mutex
	token   func(authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus
	access  func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus
	fail    func(http.ResponseWriter) // in place of an answer
	tokens  []authenticationv1.TokenReviewSpec
	reviews []authorizationv1.SubjectAccessReviewSpec
	proxy   corev1.ConfigMap
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{
		proxy: corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: proxyNamespace, Name: proxyConfigMap, ResourceVersion: "1", UID: "1"},
		},
	}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.url, s.host = server.URL, strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: s.url, BearerToken: "the server's own"}
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Query().Get("sendInitialEvents") != "": // as an older server says, so that a list follows
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity})
	case strings.HasSuffix(r.URL.Path, "/configmaps") && r.URL.Query().Get("watch") != "":
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush() //nolint:errcheck // a test's own server
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
	case strings.HasSuffix(r.URL.Path, "/configmaps"):
		_ = json.NewEncoder(w).Encode(corev1.ConfigMapList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []corev1.ConfigMap{s.proxy},
		})
	case strings.HasSuffix(r.URL.Path, "/configmaps/"+proxyConfigMap):
		_ = json.NewEncoder(w).Encode(s.proxy)
	case strings.HasSuffix(r.URL.Path, "/tokenreviews"):
		var review authenticationv1.TokenReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		s.tokens = append(s.tokens, review.Spec)
		if s.fail != nil {
			s.fail(w)
			return
		}
		review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
		review.Status = s.token(review.Spec)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(review)
	case strings.HasSuffix(r.URL.Path, "/subjectaccessreviews"):
		var review authorizationv1.SubjectAccessReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		s.reviews = append(s.reviews, review.Spec)
		if s.fail != nil {
			s.fail(w)
			return
		}
		review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SubjectAccessReview"
		review.Status = s.access(review.Spec)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(review)
	default:
		http.NotFound(w, r)
	}
}

// knows makes the server accept one token.
func (s *apiServer) knows(token string, u authenticationv1.UserInfo) {
	s.set(func() {
		s.token = func(spec authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
			if spec.Token != token {
				return authenticationv1.TokenReviewStatus{Error: "invalid bearer token"}
			}
			return authenticationv1.TokenReviewStatus{Authenticated: true, User: u, Audiences: spec.Audiences}
		}
	})
}

func (s *apiServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *apiServer) tokenReviews() []authenticationv1.TokenReviewSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens
}

// outages are the ways in which a server does not answer.
var outages = map[string]func(http.ResponseWriter){
	"an error of its own": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	"too busy":            func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) },
	"no right to ask":     func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
	"not known itself":    func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) },
	"no answer":           func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
}

// authority is one that certificates are from.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{certificate, key}
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// issue is what a request over TLS shows with a certificate of this name.
func (a authority) issue(t *testing.T, name string, usage x509.ExtKeyUsage) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, a.certificate, &key.PublicKey, a.key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
}
