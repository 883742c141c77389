package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/huggingface"
)

// hub is the client of Hugging Face.
func (s *Server) hub() (*huggingface.Client, error) {
	if s.huggingFace == nil {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "this server does not ask Hugging Face")
	}
	return s.huggingFace, nil
}

type bearerKey struct{}

// keepBearer keeps a token of Hugging Face's that came as if it were the cluster's: pages that know of no other header send it
// so. Whether it is used is decided when it is known who calls, see hubToken.
func keepBearer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && strings.HasPrefix(token, "hf_") {
			r = r.WithContext(context.WithValue(r.Context(), bearerKey{}, token))
		}
		next.ServeHTTP(w, r)
	})
}

// hubToken is the caller's token for Hugging Face; header is what came in X-HF-Token. The other header counts only where
// authentication is off: elsewhere it holds what the cluster is to see, and nobody else.
func hubToken(r *http.Request, header string) string {
	if header != "" {
		return header
	}
	caller := from(r).caller
	if caller == nil || caller.Via() != api.MeViaKubeconfig {
		return ""
	}
	token, _ := r.Context().Value(bearerKey{}).(string)
	return token
}

// GetHuggingFaceLogin is what a page needs to send somebody to Hugging Face's login.
func (s *Server) GetHuggingFaceLogin(w http.ResponseWriter, r *http.Request) {
	hub, err := s.hub()
	var login api.HfOAuthConfig
	if err == nil {
		login, err = hub.Login()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, login)
}

// ExchangeHuggingFaceCode gives the token for a login. It goes to the browser that logged in and is kept nowhere.
func (s *Server) ExchangeHuggingFaceCode(w http.ResponseWriter, r *http.Request) {
	var q api.HfTokenRequest
	err := readBody(r, &q)
	if err == nil {
		err = s.checkRedirect(r, q.RedirectUri)
	}
	var token api.HfToken
	if err == nil {
		var hub *huggingface.Client
		if hub, err = s.hub(); err == nil {
			token, err = hub.Exchange(r.Context(), q)
		}
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, token)
}

// checkRedirect refuses a login that was sent back to a page which is none of ours: whoever runs that page would have the code.
func (s *Server) checkRedirect(r *http.Request, redirect string) error {
	u, err := url.Parse(redirect)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return invalidParameter("redirectUri", "must be the address of a page, as in https://kubefoundry.example/oauth/callback/huggingface")
	}
	origin := strings.ToLower(u.Scheme + "://" + u.Host)
	if slices.Contains(s.redirects, origin) || slices.Contains(s.browser.Origins, origin) {
		return nil
	}
	// A page of this server. Plain HTTP is for this machine only.
	if strings.EqualFold(u.Host, r.Host) && (u.Scheme == "https" || isLocal(u.Hostname())) {
		return nil
	}
	return invalidParameter("redirectUri", "must be a page of this server, or of an origin that --cors-origins or --huggingface-redirect-origins names")
}

func isLocal(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// readBody decodes a body that the document was held against.
func readBody(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return invalidParameter("body", "must be JSON")
	}
	return nil
}
