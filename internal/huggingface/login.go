package huggingface

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/kubefoundry/kubefoundry/api"
)

// scopes are what a login asks for: who it is, and to read their models and the gated ones that they may.
func scopes() []string { return []string{"openid", "profile", "read-repos"} }

// Login is what a page needs to send somebody to Hugging Face's login. It is an error where no OAuth application is known.
func (c *Client) Login() (api.HfOAuthConfig, error) {
	if c.clientID == "" {
		return api.HfOAuthConfig{}, api.Errorf(api.ErrorCodeNotFound,
			"nobody can log in to Hugging Face here: the server has no OAuth application (--huggingface-client-id). Make a token at %s/settings/tokens and give that", c.base)
	}
	return api.HfOAuthConfig{ClientId: c.clientID, AuthorizeUrl: c.base.String() + "/oauth/authorize", Scopes: scopes()}, nil
}

// Exchange gives a token for the code that a login came back with. The verifier is that of PKCE: only who began the login
// knows it, which takes the place of a client's secret.
func (c *Client) Exchange(ctx context.Context, q api.HfTokenRequest) (api.HfToken, error) {
	if _, err := c.Login(); err != nil {
		return api.HfToken{}, err
	}
	a, err := c.ask(ctx, question{method: http.MethodPost, path: "/oauth/token", limit: smallLimit, form: url.Values{
		"grant_type": {"authorization_code"}, "client_id": {c.clientID}, "code": {q.Code}, "redirect_uri": {q.RedirectUri}, "code_verifier": {q.CodeVerifier},
	}})
	if err != nil {
		if e, ok := errors.AsType[*api.Error](err); ok && e.Code != api.ErrorCodeUnavailable {
			return api.HfToken{}, api.Errorf(api.ErrorCodeInvalidRequest, "Hugging Face gives no token for this login: a code holds for one use and a few minutes, and for the page that it was made for. Log in again. (%s)", e.Message)
		}
		return api.HfToken{}, err
	}
	var t struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		Scope       string `json:"scope"`
	}
	if err := decode(a, &t); err != nil {
		return api.HfToken{}, err
	}
	if t.AccessToken == "" || CheckToken(t.AccessToken) != nil {
		return api.HfToken{}, api.Errorf(api.ErrorCodeUnavailable, "Hugging Face answers the login without a token; try again")
	}
	user, err := c.WhoAmI(ctx, t.AccessToken)
	if err != nil {
		return api.HfToken{}, err
	}
	return api.HfToken{AccessToken: t.AccessToken, TokenType: "Bearer", ExpiresIn: t.ExpiresIn, Scope: t.Scope, User: user}, nil
}

// WhoAmI is whose a token is. InvalidRequest where Hugging Face refuses it.
func (c *Client) WhoAmI(ctx context.Context, token string) (api.HfUser, error) {
	if err := CheckToken(token); err != nil {
		return api.HfUser{}, err
	}
	return cached(ctx, c, "user "+hash(token), func(ctx context.Context) (api.HfUser, error) {
		a, err := c.ask(ctx, question{method: http.MethodGet, path: "/api/whoami-v2", token: token, limit: smallLimit})
		if err != nil {
			return api.HfUser{}, err
		}
		var u struct {
			ID        string `json:"id"`
			Name      string `json:"name"`
			Fullname  string `json:"fullname"`
			Email     string `json:"email"`
			AvatarURL string `json:"avatarUrl"`
		}
		if err := decode(a, &u); err != nil {
			return api.HfUser{}, err
		}
		return api.HfUser{Id: u.ID, Name: u.Name, Fullname: cmpOr(u.Fullname, u.Name), Email: u.Email, AvatarUrl: u.AvatarURL}, nil
	})
}

// Forget drops what is kept of a token.
func (c *Client) Forget(token string) { c.kept.Remove("user " + hash(token)) }
