package auth

import (
	"context"
	"fmt"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
)

// reviews asks the API server what a user may do, by SubjectAccessReview. It keeps no answers.
type reviews struct{ authorizer authorizer.Authorizer }

func newReviews(client kubernetes.Interface) (*reviews, error) {
	backoff := noRetry()
	a, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(), WebhookRetryBackoff: &backoff,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("access reviews: %w", err)
	}
	return &reviews{a}, nil
}

// allowed tells whether a user has a right, in a namespace or, where that is empty, in all.
func (v *reviews) allowed(ctx context.Context, u user.Info, r Right, namespace string) (bool, error) {
	return v.ask(ctx, authorizer.AttributesRecord{
		User: u, Verb: r.Verb, APIGroup: r.Group, APIVersion: "*", Resource: r.Resource, Namespace: namespace, Name: r.Name, ResourceRequest: true,
	})
}

// allowedPath tells whether a user may read a path that is no resource.
func (v *reviews) allowedPath(ctx context.Context, u user.Info, path string) (bool, error) {
	return v.ask(ctx, authorizer.AttributesRecord{User: u, Verb: "get", Path: path})
}

func (v *reviews) ask(ctx context.Context, a authorizer.AttributesRecord) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	decision, _, err := v.authorizer.Authorize(ctx, a)
	if err != nil {
		return false, api.Errorf(api.ErrorCodeUnavailable, "what you may see cannot be checked, for the Kubernetes API does not answer: %s; try again later", outage(err))
	}
	return decision == authorizer.DecisionAllow, nil
}
