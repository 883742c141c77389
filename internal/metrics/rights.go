package metrics

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/lru"
)

const believed = 30 * time.Second

// Rights knows who may reach what through the Kubernetes API's proxy. It is made by NewRights, and used from any goroutine.
type Rights struct {
	// Believed is how long an answer holds, 30 s where nothing else is said. It is set before the first question.
	Believed time.Duration

	answers *lru.Cache
}

type answer struct {
	allowed bool
	until   time.Time
}

// NewRights makes a Rights.
func NewRights() *Rights { return &Rights{believed, lru.New(10_000)} }

// Services tells whether the viewer may reach a Service, and until when that holds.
func (r *Rights) Services(ctx context.Context, config *rest.Config, t Target) (until time.Time, allowed bool, err error) {
	return r.may(ctx, config, authorizationv1.ResourceAttributes{
		Namespace: t.Namespace, Verb: "get", Version: "v1", Resource: "services", Subresource: "proxy", Name: t.Right(),
	})
}

// Pods tells whether the viewer may reach every pod of a namespace, and until when that holds.
func (r *Rights) Pods(ctx context.Context, config *rest.Config, namespace string) (until time.Time, allowed bool, err error) {
	return r.may(ctx, config, authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "get", Version: "v1", Resource: "pods", Subresource: "proxy",
	})
}

// may asks the API server, as the viewer. The same credentials have the same rights; what is kept of them is a hash.
func (r *Rights) may(ctx context.Context, config *rest.Config, a authorizationv1.ResourceAttributes) (until time.Time, allowed bool, err error) {
	who := config.Impersonate // printed with its keys in order
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q %q", config.BearerToken, who.UserName, who.UID, who.Groups, who.Extra, a.String()))
	if kept, ok := r.answers.Get(key); ok {
		if known, ok := kept.(answer); ok && time.Now().Before(known.until) {
			return known.until, known.allowed, nil
		}
	}
	client, err := authorization.NewForConfig(config)
	if err != nil {
		return until, false, fmt.Errorf("client: %w", err)
	}
	until = time.Now().Add(r.Believed)
	review, err := client.SelfSubjectAccessReviews().Create(ctx,
		&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}, metav1.CreateOptions{})
	if err != nil {
		return until, false, err
	}
	r.answers.Add(key, answer{review.Status.Allowed, until})
	return until, review.Status.Allowed, nil
}
