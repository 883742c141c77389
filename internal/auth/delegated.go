package auth

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// Options of Delegated.
type Options struct {
	// Config is the server's own access to the cluster.
	Config    *rest.Config
	Rights    Rights
	Documents Documents
	Logger    *zap.Logger
}

// Delegated asks the API server about everybody.
type Delegated struct {
	config  *rest.Config
	tokens  *Tokens
	proxy   *frontProxy
	reviews *reviews
	sights  *sights
}

// NewDelegated makes a Delegated. Run keeps it up to date.
func NewDelegated(o Options) (*Delegated, error) {
	config := rest.CopyConfig(o.Config)
	// Questions are few, see the package comment, and a caller waits for each: the API server's own flow control protects it.
	config.QPS, config.Burst = -1, 0
	config.Timeout = reviewTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	d := &Delegated{config: o.Config}
	if d.tokens, err = NewTokens(client); err != nil {
		return nil, err
	}
	watching, err := kubernetes.NewForConfig(o.Config) // a watch has no time limit
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	if d.proxy, err = newFrontProxy(watching, o.Logger); err != nil {
		return nil, err
	}
	if d.reviews, err = newReviews(client); err != nil {
		return nil, err
	}
	d.sights = newSights(o.Rights, o.Documents, d.reviews)
	return d, nil
}

// How long something is kept of those who do not come any more.
const retention = 5 * time.Minute

// Run keeps up with the API server's certificate, and forgets who is gone, until ctx ends.
func (d *Delegated) Run(ctx context.Context) error {
	go func() {
		for ticker := time.Tick(time.Minute); ; {
			select {
			case now := <-ticker:
				d.tokens.forget(now.Add(-retention))
				d.sights.forget(now.Add(-retention))
			case <-ctx.Done():
				return
			}
		}
	}()
	d.proxy.run(ctx)
	return nil
}

// Authenticate tells who sends a request. It takes the headers that say so out of it. The error is an *api.Error.
func (d *Delegated) Authenticate(r *http.Request) (*Caller, error) {
	authorization := r.Header.Get("Authorization")
	r.Header.Del("Authorization")
	if d.proxy.claims(r) {
		return d.proxy.caller(r)
	}
	if authorization == "" {
		return nil, errAnonymous
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, errNotAToken
	}
	caller, _, err := d.tokens.Caller(r.Context(), strings.TrimSpace(token))
	return caller, err
}

var errAnonymous = api.Errorf(api.ErrorCodeUnauthenticated,
	"this server answers only to users of the cluster: send `Authorization: Bearer <token>` with a token of this cluster, or go through the Kubernetes API")

// Grant tells what a caller may see, and makes sure that they are still accepted. The error is an *api.Error: Unauthenticated
// where their token is not any more, Unavailable where nobody can tell.
func (d *Delegated) Grant(ctx context.Context, c *Caller) (Grant, error) {
	if c.via != api.MeViaToken {
		return d.sights.grant(ctx, c)
	}
	fresh, until, err := d.tokens.Caller(ctx, c.token) // their groups may have changed too
	if err != nil {
		return Grant{}, err
	}
	grant, err := d.sights.grant(ctx, fresh)
	if err == nil && until.Before(grant.Until) {
		grant.Until = until
	}
	return grant, err
}

// Sight is the part of Grant that is about rights: it does not ask again whether the caller is still accepted. It is for those
// whose token was reviewed elsewhere, for an audience other than the API server.
func (d *Delegated) Sight(ctx context.Context, c *Caller) (Grant, error) {
	return d.sights.grant(ctx, c)
}

// MayGet tells whether a caller may read a path that shows no resource, such as /metrics.
func (d *Delegated) MayGet(ctx context.Context, c *Caller, path string) (bool, error) {
	return d.reviews.allowedPath(ctx, c.user, path)
}

// Config is access to the cluster in the caller's name: by their token, or by impersonation where the API server vouched
// for them. It is the only way in which anything is done for a caller.
func (d *Delegated) Config(c *Caller) *rest.Config {
	if c.via == api.MeViaToken {
		config := rest.AnonymousClientConfig(d.config)
		config.BearerToken = c.token
		return config
	}
	config := rest.CopyConfig(d.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: c.user.GetName(), UID: c.user.GetUID(), Groups: c.user.GetGroups(), Extra: c.user.GetExtra(),
	}
	return config
}
