package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
	"k8s.io/client-go/kubernetes"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	// reviewTimeout bounds one question to the API server.
	reviewTimeout = 10 * time.Second
	// refusalValidity is how long a token that was refused is not asked about again.
	refusalValidity = 10 * time.Second
	// maxKept bounds the tokens, and the users, that something is kept of.
	maxKept = 10_000
	// maxReviews is how many tokens are asked about at once.
	maxReviews = 32
	// maxToken is more than any token has; what is larger is refused without asking.
	maxToken = 16 << 10
)

// Tokens tells whose tokens are. The API server is asked about each once within Validity.
//
// k8s.io/apiserver's own cache of token reviews does not tell how old an answer is, which is what a stream has to know that
// must end when its token does.
type Tokens struct {
	reviewer  authenticator.Token
	audiences authenticator.Audiences

	mu      sync.RWMutex
	kept    map[[sha256.Size]byte]*credential
	refused *cache.LRUExpireCache
	asking  singleflight.Group
	slots   chan struct{} // one for each question under way, so that tokens made up by the thousand do not become as many
}

// credential is a token that was accepted.
type credential struct {
	caller *Caller
	until  time.Time
	used   atomic.Int64 // unix seconds
}

// NewTokens reviews tokens with a client. With audiences, tokens have to be made for one of them; without, for the API
// server.
func NewTokens(client kubernetes.Interface, audiences ...string) (*Tokens, error) {
	reviewer, err := webhook.NewFromInterface(client.AuthenticationV1(), nil, noRetry(), reviewTimeout, webhook.AuthenticatorMetrics{
		RecordRequestTotal: func(context.Context, string) {}, RecordRequestLatency: func(context.Context, string, float64) {},
	})
	if err != nil {
		return nil, fmt.Errorf("token reviews: %w", err)
	}
	return &Tokens{
		reviewer: reviewer, audiences: audiences,
		kept: map[[sha256.Size]byte]*credential{}, refused: cache.NewLRUExpireCache(maxKept),
		slots: make(chan struct{}, maxReviews),
	}, nil
}

// noRetry asks once: whoever waits for the answer is better told that there is none.
func noRetry() wait.Backoff { return wait.Backoff{Steps: 1} }

// Caller is whose token it is, as of until at the latest. The error is an *api.Error: Unauthenticated, or Unavailable where
// nobody can tell.
func (t *Tokens) Caller(ctx context.Context, token string) (c *Caller, until time.Time, err error) {
	if token == "" || len(token) > maxToken || strings.ContainsAny(token, " \t\r\n") {
		return nil, time.Time{}, errNotAToken
	}
	now := time.Now()
	key := sha256.Sum256([]byte(token))
	t.mu.RLock()
	known := t.kept[key]
	t.mu.RUnlock()
	if known != nil && now.Before(known.until) {
		known.used.Store(now.Unix())
		return known.caller, known.until, nil
	}
	if refused, ok := t.refused.Get(key); ok || isExpired(token, now) {
		if !ok {
			refused = errRefused
		}
		return nil, time.Time{}, refused.(error)
	}
	asked := t.asking.DoChan(string(key[:]), func() (any, error) { return t.review(context.WithoutCancel(ctx), key, token) })
	select {
	case answer := <-asked:
		if answer.Err != nil {
			return nil, time.Time{}, answer.Err
		}
		fresh := answer.Val.(*credential)
		return fresh.caller, fresh.until, nil
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
}

func (t *Tokens) review(ctx context.Context, key [sha256.Size]byte, token string) (*credential, error) {
	if len(t.audiences) > 0 {
		ctx = authenticator.WithAudiences(ctx, t.audiences)
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, api.Errorf(api.ErrorCodeUnavailable, "your token cannot be checked, for too many others are being checked; try again later")
	}
	asked := time.Now()
	response, ok, err := t.reviewer.AuthenticateToken(ctx, token)
	if err != nil && isOutage(err) {
		return nil, api.Errorf(api.ErrorCodeUnavailable, "your token cannot be checked, for the Kubernetes API does not answer: %s; try again later", outage(err))
	}
	if err != nil || !ok {
		t.mu.Lock()
		delete(t.kept, key)
		t.mu.Unlock()
		t.refused.Add(key, errRefused, refusalValidity)
		return nil, errRefused
	}
	fresh := &credential{caller: newCaller(response.User, api.MeViaToken, token), until: asked.Add(Validity)}
	if expires, ok := expiry(token); ok && expires.Before(fresh.until) {
		fresh.until = expires
	}
	fresh.used.Store(asked.Unix())
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= maxKept {
		clear(t.kept)
	}
	t.kept[key] = fresh
	return fresh, nil
}

// expiry is when a token says that it expires. It is read without proof, and so only ever shortens what the API server
// granted: that keeps tokens that it has accepted for 10 s, whether they expire or not.
func expiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires <= 0 || claims.Expires > math.MaxInt32*1000.0 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Expires), 0), true
}

func isExpired(token string, now time.Time) bool {
	expires, ok := expiry(token)
	return ok && !now.Before(expires)
}

// forget drops what was not used since before.
func (t *Tokens) forget(before time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, c := range t.kept {
		if c.used.Load() < before.Unix() {
			delete(t.kept, key)
		}
	}
}

var (
	errNotAToken = api.Errorf(api.ErrorCodeUnauthenticated, "the Authorization header holds no token: send `Authorization: Bearer <token>` with a token of this cluster")
	errRefused   = api.Errorf(api.ErrorCodeUnauthenticated, "the cluster does not accept your token: it has expired, or was made for another cluster or audience; get a new one and try again")
)

// isOutage tells a question that was not answered from one that was answered with no. The token review's own errors are plain
// texts.
func isOutage(err error) bool {
	var status apierrors.APIStatus
	var network net.Error
	return errors.As(err, &status) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		strings.HasPrefix(err.Error(), "webhook call failed")
}

// outage is why a question was not answered, for the caller to read: not where the API server is, nor what was asked.
func outage(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if apierrors.IsForbidden(err) {
			return "the server's ServiceAccount lacks the ClusterRole system:auth-delegator"
		}
		return string(apierrors.ReasonForError(err))
	}
	return "no connection"
}
