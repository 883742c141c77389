package tenancy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubefoundry/kubefoundry/api"
)

// measured: metrics come through the proxy of a Service, as the caller.
func measured(t *testing.T, a asking) {
	for _, d := range one(t, a, http.MethodGet, "/metrics") {
		got := a.get(t, d.target("/metrics"))
		review, err := newClient(t, a.who.Config()).kube.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(),
			&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: d.namespace, Verb: "get", Resource: "services", Subresource: "proxy",
			}}}, metav1.CreateOptions{})
		require.NoError(t, err)
		if got.status != http.StatusOK || !strings.Contains(got.body, "no frontend") { // to that nobody needs a right
			if !review.Status.Allowed {
				require.Contains(t, refusal(t, got, http.StatusForbidden).Message, "services/proxy")
				continue
			}
		}
		read[api.DeploymentMetrics](t, got)
	}
}
