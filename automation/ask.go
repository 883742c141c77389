package automation

import (
	"cmp"
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubefoundry/kubefoundry/api"
)

var errAnother = api.Errorf(api.ErrorCodeUnauthenticated, "the token is of another user now, or of other groups")

// ask finds out whether the clients' tokens are still accepted and what they may see, where that is not known. Those of whom
// it is not known any more are disconnected. Where it is known a while yet but could not be asked again, unknown says why; so
// long nothing is copied. next is when the next answer is over.
func (r *room) ask(ctx context.Context, clients []*client) (left []*client, next time.Time, unknown error) {
	cells := r.View.CellsVersion()
	failed := make([]error, len(clients))
	var questions errgroup.Group
	questions.SetLimit(8)
	for i, c := range clients {
		if now := time.Now(); now.Before(c.until) && c.answeredFor(now, cells) {
			continue
		}
		questions.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			failed[i] = r.askAbout(ctx, c, cells)
			return nil
		})
	}
	_ = questions.Wait() // none returns one
	now := time.Now()
	next = now.Add(time.Minute)
	for i, c := range clients {
		err := failed[i]
		known := now.Before(c.until) && c.grant.Sight != nil && c.grant.Valid(now)
		if err != nil && (!known || !c.answered || isUnauthenticated(err)) {
			r.refuse(c, err)
			continue
		}
		if err == nil && !known { // it was over before it could be used
			next = now
			unknown = errOver
		}
		unknown = cmp.Or(unknown, err)
		left = append(left, c)
		for _, until := range []time.Time{c.until, c.grant.Until} {
			if !until.IsZero() && until.Before(next) {
				next = until
			}
		}
	}
	return left, next, unknown
}

var errOver = errors.New("what the caller may see was known for too short a time")

func (c *client) answeredFor(now time.Time, cells uint64) bool {
	return c.grant.Sight != nil && c.grant.Valid(now) && c.grant.Cells == cells
}

func (r *room) askAbout(ctx context.Context, c *client, cells uint64) error {
	if !time.Now().Before(c.until) {
		caller, until, err := r.Tokens.Caller(ctx, c.token)
		if err != nil {
			return err
		}
		if identity(caller) != r.id {
			return errAnother
		}
		c.caller, c.until = caller, until
	}
	if c.answeredFor(time.Now(), cells) {
		return nil
	}
	grant, err := r.Rights.Grant(ctx, c.caller)
	if err == nil {
		c.grant = grant
	}
	return err
}

func isUnauthenticated(err error) bool {
	var failed *api.Error
	return errors.As(err, &failed) && failed.Code == api.ErrorCodeUnauthenticated
}
