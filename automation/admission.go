package automation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
)

// client is a connection to an account. Its fields belong to the room's goroutine once it has joined.
type client struct {
	id     uint64
	token  string
	remote string
	caller *auth.Caller
	until  time.Time // of what is known of the token
	grant  auth.Grant
	// ready is told once whether the account holds what it should.
	ready    chan error
	answered bool
}

// answer lets a client in that waits to be, or refuses it.
func (c *client) answer(err error) {
	if !c.answered {
		c.answered = true
		c.ready <- err
	}
}

// identity is the same for the tokens of one user with the same groups. It leaves out what else a token says, such as its own
// number and the pod that it was made for: who renews their token finds their durable consumers again.
func identity(c *auth.Caller) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", c.Name(), slices.Sorted(slices.Values(c.Groups())))
	return string(h.Sum(nil))
}

var (
	errNoToken   = errors.New("the client sent no token, neither as token nor as password")
	errThrottled = errors.New("too many tokens from this address were refused within a minute")
	errSlow      = errors.New("it took too long to find out what the caller may see and to fill the account; the client tries again by itself")
)

// admit decides on a client. NATS can tell a client no more than that it is not authorized: the reason is in the log.
func (a *Automation) admit(ctx context.Context, id uint64, token string, remote net.Addr) (account, user string, err error) {
	host, _, splitErr := net.SplitHostPort(remote.String())
	if splitErr != nil {
		host = remote.String()
	}
	var name string
	defer func() {
		if err == nil {
			return
		}
		reason := reasonOf(err)
		a.metrics.refusals.WithLabelValues(reason).Inc()
		if reason == "token" {
			a.failures.add(host)
		}
		a.log.Warn("client refused", zap.String("reason", reason), zap.Stringer("remote", remote), zap.String("user", name), zap.Error(err))
	}()
	if token == "" {
		return "", "", errNoToken
	}
	if a.failures.exceeded(host, time.Now()) {
		return "", "", errThrottled
	}
	caller, until, err := a.Tokens.Caller(ctx, token)
	if err != nil {
		return "", "", err
	}
	name = caller.Name()
	c := &client{id: id, token: token, remote: remote.String(), caller: caller, until: until, ready: make(chan error, 1)}
	r, err := a.enter(ctx, c)
	if err != nil {
		return "", "", err
	}
	select {
	case err = <-c.ready:
	case <-ctx.Done():
		err = errSlow
	}
	if err != nil {
		r.drop(c)
		return "", "", err
	}
	a.log.Info("client connected", zap.String("user", name), zap.Stringer("remote", remote))
	return r.account, name, nil
}

// reasonOf is an error as a label.
func reasonOf(err error) string {
	var failed *api.Error
	for reason, is := range map[string]error{
		"no token": errNoToken, "throttled": errThrottled, "too many callers": errTooManyCallers,
		"too many connections": errTooManyConnections, "stopping": errStopping,
	} {
		if errors.Is(err, is) {
			return reason
		}
	}
	if errors.As(err, &failed) && failed.Code == api.ErrorCodeUnauthenticated {
		return "token"
	}
	return "unavailable"
}

// failures counts the tokens that were refused, by the address that they came from.
type failures struct {
	limit int
	mu    sync.Mutex
	since time.Time
	hosts map[string]int
}

func (f *failures) add(host string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.hosts) < 10_000 || f.hosts[host] > 0 {
		f.hosts[host]++
	}
}

func (f *failures) exceeded(host string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) > time.Minute {
		f.since = now
		clear(f.hosts)
	}
	return f.hosts[host] >= f.limit
}
