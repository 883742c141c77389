package tenancy

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

func init() {
	maps.Copy(answers, map[string]func(*testing.T, asking){
		"GET /api/deployments/{name}/events": func(t *testing.T, a asking) {
			for _, d := range one(t, a, http.MethodGet, "/events") {
				got := a.get(t, d.target("/events"))
				_, err := newClient(t, a.who.Config()).kube.CoreV1().Events(d.namespace).List(t.Context(), metav1.ListOptions{Limit: 1})
				if apierrors.IsForbidden(err) {
					require.Equal(t, api.ErrorCodeForbidden, refusal(t, got, http.StatusForbidden).Code)
				} else {
					read[api.DeploymentEvents](t, got)
				}
			}
		},
		"GET /api/deployments/{name}/v1/models": func(t *testing.T, a asking) { // what it says: httpapi
			for _, d := range one(t, a, http.MethodGet, "/v1/models") {
				require.NotEqual(t, http.StatusUnauthorized, a.get(t, d.target("/v1/models")).status)
			}
		},
		"POST /api/deployments/{name}/v1/chat/completions": conversation("/v1/chat/completions"),
		"POST /api/deployments/{name}/v1/completions":      conversation("/v1/completions"),
		"POST /api/deployments/{name}/v1/embeddings":       conversation("/v1/embeddings"),

		"GET /api/aikit/models":         static[api.AikitModelList]("/api/aikit/models"),
		"GET /api/aikit/models/{id}":    static[api.AikitModel]("/api/aikit/models/phi4:14b"),
		"POST /api/aikit/build":         incomplete(http.MethodPost, "/api/aikit/build"),
		"POST /api/aikit/build/preview": incomplete(http.MethodPost, "/api/aikit/build/preview"),
		"GET /api/aikit/infrastructure/status": func(t *testing.T, a asking) { // who may look: httpapi
			if got := a.get(t, "/api/aikit/infrastructure/status"); got.status != http.StatusOK {
				require.Equal(t, api.ErrorCodeForbidden, refusal(t, got, http.StatusForbidden).Code)
			}
		},
		"POST /api/aikit/infrastructure/setup": func(t *testing.T, a asking) {
			if !mayClaim(t, a.who) { // whoever may would make it
				require.Equal(t, api.ErrorCodeForbidden, refusal(t, a.ask(t, http.MethodPost, "/api/aikit/infrastructure/setup"), http.StatusForbidden).Code)
			}
		},
	})
}

// static is for what is the same for everybody.
func static[T any](path string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) { read[T](t, a.get(t, path)) }
}

// conversation is had with what the caller sees, and with nothing else; without a body it is refused then.
func conversation(suffix string) func(*testing.T, asking) {
	return func(t *testing.T, a asking) {
		for _, d := range one(t, a, http.MethodPost, suffix) {
			require.Contains(t, []int{http.StatusBadRequest, http.StatusConflict}, a.ask(t, http.MethodPost, d.target(suffix)).status)
		}
	}
}

func mayClaim(t *testing.T, who *devcluster.Identity) bool {
	t.Helper()
	review, err := newClient(t, who.Config()).kube.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "kubefoundry-system", Verb: "patch", Resource: "persistentvolumeclaims"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}
