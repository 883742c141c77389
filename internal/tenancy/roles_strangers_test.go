package tenancy

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// strangersAsk: whom the cluster does not know gets what is open to everybody, and of the rest only what to do about it.
func strangersAsk(t *testing.T, everybody map[string]*caller) {
	w, admin := everybody["admin"].world, everybody["admin"].who
	document, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	require.NoError(t, err)
	token := admin.Config().BearerToken
	gone := w.i.cluster.ServiceAccount(t, w.own, "gone")
	require.NoError(t, w.admin.kube.CoreV1().ServiceAccounts(w.own).Delete(t.Context(), "gone", metav1.DeleteOptions{}))
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	expired := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":`+"1700000000"+`}`)) + "." + parts[2]
	everybodysOwn := map[string]bool{}
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			if o.Security != nil {
				everybodysOwn[method+" "+path] = slices.ContainsFunc(*o.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 }) || len(*o.Security) == 0
			}
		}
	}
	client := w.i.client()
	for name, header := range map[string][]string{
		"no token":                          nil,
		"a made up token":                   {"Authorization", "Bearer made-up"},
		"an expired token":                  {"Authorization", "Bearer " + expired},
		"a token of somebody who is gone":   {"Authorization", "Bearer " + gone.Config().BearerToken},
		"a token for another audience":      {"Authorization", "Bearer " + admin.Token(t, "elsewhere")},
		"a token that was tampered with":    {"Authorization", "Bearer " + token[:len(token)-4] + "AAAA"},
		"a password":                        {"Authorization", "Basic YWRtaW46YWRtaW4="},
		"a token in a cookie":               {"Cookie", "Authorization=Bearer " + token},
		"a name without the certificate":    {"X-Remote-User", "system:admin", "X-Remote-Group", "system:masters"},
		"a name beside a token":             {"Authorization", "Bearer " + token, "X-Remote-User", "system:admin"},
		"a group beside a token":            {"Authorization", "Bearer " + token, "X-Remote-Group", "system:masters"},
		"an extra beside a token":           {"Authorization", "Bearer " + token, "x-remote-extra-scopes", "all"},
		"an impersonation without a token":  {"Impersonate-User", "system:admin", "Impersonate-Group", "system:masters"},
		"a token in the query":              nil,
		"a made up token before a real one": {"Authorization", "Bearer made-up", "Authorization", "Bearer " + token},
	} {
		t.Run(name, func(t *testing.T) {
			for _, route := range routes(t) {
				method, path, _ := strings.Cut(route, " ")
				target := w.i.url + exemplary.Replace(path)
				if name == "a token in the query" {
					target += "?access_token=" + token
				}
				got := ask(t.Context(), t, client, method, target, header...)
				if everybodysOwn[route] {
					if path == "/api/oauth/huggingface/config" { // there is no client id
						refusal(t, got, http.StatusNotFound)
						continue
					}
					require.Equal(t, http.StatusOK, got.status, route)
					if path == "/api/settings" {
						public := read[api.Settings](t, got)
						require.True(t, public.Auth.Enabled)
						require.Nil(t, public.State, "what is set is not for strangers")
						require.Empty(t, public.Config)
						require.Empty(t, public.ResourceVersion)
					}
					continue
				}
				e := refusal(t, got, http.StatusUnauthorized)
				require.Equal(t, api.ErrorCodeUnauthenticated, e.Code, route)
				require.Equal(t, `Bearer realm="kubefoundry"`, got.header.Get("WWW-Authenticate"), route)
			}
		})
	}
	t.Run("headers that the API server takes away", func(t *testing.T) {
		none := everybody["none"].by(through)
		me := read[api.Me](t, none.ask(t, http.MethodGet, "/api/me", "X-Remote-User", "system:admin", "X-Remote-Group", "system:masters", "X-Remote-Uid", "1"))
		require.Equal(t, none.who.Name, me.Username)
		require.NotContains(t, me.Groups, "system:masters")
		require.Empty(t, read[api.DeploymentList](t, none.ask(t, http.MethodGet, "/api/deployments", "x_remote_user", "system:admin", "X-Remote-Group", "system:masters")).Deployments)
	})
	t.Run("impersonation of a token's own", func(t *testing.T) { // is the API server's to grant, and not ours to pass on
		none := everybody["none"].by(direct)
		me := read[api.Me](t, none.ask(t, http.MethodGet, "/api/me", "Impersonate-User", "system:admin", "Impersonate-Group", "system:masters"))
		require.Equal(t, none.who.Name, me.Username)
	})
}
