package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/kubefoundry/kubefoundry/api"
)

// reviewer is an API server that knows some tokens.
type reviewer struct {
	mu    sync.Mutex
	users map[string]user.Info
	err   error         // in place of an answer
	takes time.Duration // for one
	asked []string
	under int // way, and how many there were at most
	most  int
}

func (r *reviewer) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	r.mu.Lock()
	r.asked = append(r.asked, token)
	r.under++
	r.most = max(r.most, r.under)
	u, err, takes := r.users[token], r.err, r.takes
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.under--
		r.mu.Unlock()
	}()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	if err != nil || u == nil {
		return nil, false, err
	}
	return &authenticator.Response{User: u}, true, nil
}

func (r *reviewer) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

func (r *reviewer) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func newReviewer(tokens ...string) (*reviewer, *Tokens) {
	r := &reviewer{users: map[string]user.Info{}}
	for _, token := range tokens {
		r.users[token] = &user.DefaultInfo{Name: "user of " + token, Groups: []string{"team"}}
	}
	return r, &Tokens{reviewer: r, kept: map[[32]byte]*credential{}, refused: cache.NewLRUExpireCache(maxKept), slots: make(chan struct{}, maxReviews)}
}

// code is that of an error for callers; every one has to have one.
func code(t testing.TB, err error) api.ErrorCode {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *api.Error
	require.ErrorAs(t, err, &e)
	return e.Code
}

func jwt(expires time.Time) string {
	return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, expires.Unix())) + ".c2ln"
}

func TestOneReviewForAllWhoCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a")
		r.takes = time.Second
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				c, until, err := tokens.Caller(t.Context(), "a")
				if err != nil || c.Name() != "user of a" || !until.Equal(time.Now().Add(Validity-time.Second)) {
					t.Errorf("%v %v %v", c, until, err)
				}
			})
		}
		callers.Wait()
		require.Equal(t, 1, r.count())
	})
}

// Whoever goes away does not take the answer from the others.
func TestWhoGivesUpDoesNotSpoilIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a")
		r.takes = time.Second
		first, giveUp := context.WithTimeout(t.Context(), time.Millisecond)
		defer giveUp()
		var callers sync.WaitGroup
		callers.Go(func() {
			_, _, err := tokens.Caller(first, "a")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		synctest.Wait()
		c, _, err := tokens.Caller(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "user of a", c.Name())
		callers.Wait()
		require.Equal(t, 1, r.count())
	})
}

func TestAnAnswerHoldsFor30Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a")
		ask := func() (time.Time, api.ErrorCode) {
			_, until, err := tokens.Caller(t.Context(), "a")
			return until, code(t, err)
		}
		start := time.Now()
		until, _ := ask()
		require.Equal(t, start.Add(Validity), until)
		time.Sleep(Validity - time.Nanosecond)
		r.set(func() { delete(r.users, "a") })
		again, refused := ask()
		require.Empty(t, refused)
		require.Equal(t, until, again, "asking does not prolong it")
		require.Equal(t, 1, r.count())
		time.Sleep(time.Nanosecond)
		_, refused = ask()
		require.Equal(t, api.ErrorCodeUnauthenticated, refused)
		require.Equal(t, 2, r.count())
	})
}

// The validity counts from the question: an answer that took long is as old as that.
func TestAnAnswerIsAsOldAsItsQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a")
		r.takes = 9 * time.Second
		asked := time.Now()
		_, until, err := tokens.Caller(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, asked.Add(Validity), until)
	})
}

func TestExpiryShortensValidityAndNeverProlongsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		soon, late, past := jwt(time.Now().Add(5*time.Second)), jwt(time.Now().Add(time.Hour)), jwt(time.Now())
		r, tokens := newReviewer(soon, late, past)
		_, until, err := tokens.Caller(t.Context(), soon)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(5*time.Second), until)
		_, until, err = tokens.Caller(t.Context(), late)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(Validity), until)

		_, _, err = tokens.Caller(t.Context(), past)
		require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))
		require.Equal(t, []string{soon, late}, r.asked, "what says of itself that it has expired is not asked about")
		time.Sleep(5 * time.Second)
		_, _, err = tokens.Caller(t.Context(), soon)
		require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))
		require.Equal(t, 2, r.count())
	})
}

// What a token claims is read without proof, so anything may stand there.
func TestStrangeExpiries(t *testing.T) {
	t.Parallel()
	for claims, want := range map[string]int64{
		`{"exp":1700000000}`: 1700000000, `{"exp":1700000000.9}`: 1700000000, `{"exp":0}`: 0, `{"exp":-5}`: 0, `{"exp":1e300}`: 0, `{"exp":"1700000000"}`: 0,
		`{"exp":null}`: 0, `{}`: 0, `[]`: 0, ``: 0, `{"exp":1e400}`: 0,
	} {
		expires, ok := expiry("h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s")
		require.Equal(t, want != 0, ok, claims)
		if ok {
			require.Equal(t, want, expires.Unix(), claims)
		}
	}
	for _, token := range []string{"", ".", "..", "a.b", "a.!.c", "a.e30.c.d", "opaque"} {
		_, ok := expiry(token)
		require.False(t, ok, token)
	}
}

func TestARefusalHoldsForTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer()
		for range 20 {
			_, _, err := tokens.Caller(t.Context(), "late")
			require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))
		}
		require.Equal(t, 1, r.count())
		r.set(func() { r.users["late"] = &user.DefaultInfo{Name: "late"} })
		time.Sleep(refusalValidity - time.Nanosecond)
		_, _, err := tokens.Caller(t.Context(), "late")
		require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))
		time.Sleep(2 * time.Nanosecond)
		_, _, err = tokens.Caller(t.Context(), "late")
		require.NoError(t, err)
		require.Equal(t, 2, r.count())
	})
}

func TestAnOutageIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a")
		for i, outage := range []error{
			apierrors.NewInternalError(errors.New("etcd")), apierrors.NewForbidden(schema.GroupResource{Resource: "tokenreviews"}, "", nil), context.DeadlineExceeded,
			errors.New("webhook call failed: connection refused"),
		} {
			r.set(func() { r.err = outage })
			_, _, err := tokens.Caller(t.Context(), "a")
			require.Equal(t, api.ErrorCodeUnavailable, code(t, err), "%v", outage)
			require.Equal(t, 2*i+1, r.count())
			r.set(func() { r.err = nil })
			_, _, err = tokens.Caller(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, 2*i+2, r.count())
			time.Sleep(Validity)
		}
	})
}

// An answer that has run out is not believed because there is no other.
func TestAnOutageGrantsNothingOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a")
		_, _, err := tokens.Caller(t.Context(), "a")
		require.NoError(t, err)
		r.set(func() { r.err = context.DeadlineExceeded })
		time.Sleep(Validity)
		_, _, err = tokens.Caller(t.Context(), "a")
		require.Equal(t, api.ErrorCodeUnavailable, code(t, err))
	})
}

// A question that hangs is given up, and those who wait are told.
func TestAHangingReviewEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a")
		r.takes = time.Hour
		start := time.Now()
		_, _, err := tokens.Caller(t.Context(), "a")
		require.Equal(t, api.ErrorCodeUnavailable, code(t, err))
		require.Equal(t, reviewTimeout, time.Since(start))
	})
}

func TestTokensMadeUpByTheThousand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer()
		r.takes = time.Second
		var callers sync.WaitGroup
		var mu sync.Mutex
		codes := map[api.ErrorCode]int{}
		for i := range 1000 {
			callers.Go(func() {
				_, _, err := tokens.Caller(t.Context(), fmt.Sprintf("made-up-%d", i))
				mu.Lock()
				defer mu.Unlock()
				codes[code(t, err)]++
			})
		}
		callers.Wait()
		require.LessOrEqual(t, r.most, maxReviews)
		require.Equal(t, 1000, codes[api.ErrorCodeUnauthenticated]+codes[api.ErrorCodeUnavailable])
		require.Equal(t, maxReviews*int(reviewTimeout/r.takes), codes[api.ErrorCodeUnauthenticated], "as many as fit into the time")
	})
}

func TestWhatIsNoTokenIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	r, tokens := newReviewer()
	for _, token := range []string{"", " ", "a b", "a\tb", "a\nb", "a\r", strings.Repeat("x", maxToken+1)} {
		_, _, err := tokens.Caller(t.Context(), token)
		require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))
	}
	require.Zero(t, r.count())
	_, _, _ = tokens.Caller(t.Context(), strings.Repeat("x", maxToken))
	require.Equal(t, 1, r.count())
}

func TestTokensOfTheForgottenAreAskedAboutAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, tokens := newReviewer("a", "b")
		for _, token := range []string{"a", "b", "b"} {
			_, _, err := tokens.Caller(t.Context(), token)
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
		}
		tokens.forget(time.Now().Add(-3 * time.Second))
		for _, token := range []string{"a", "b"} {
			_, _, err := tokens.Caller(t.Context(), token)
			require.NoError(t, err)
		}
		require.Equal(t, []string{"a", "b", "a"}, r.asked)
	})
}

// What is kept has an end, and starting over costs questions, not rights.
func TestMoreTokensThanAreKept(t *testing.T) {
	t.Parallel()
	r, tokens := newReviewer()
	for i := range maxKept + 10 {
		token := fmt.Sprintf("t%d", i)
		r.users[token] = &user.DefaultInfo{Name: token}
		c, _, err := tokens.Caller(t.Context(), token)
		require.NoError(t, err)
		require.Equal(t, token, c.Name())
		require.LessOrEqual(t, len(tokens.kept), maxKept)
	}
}

// Two are the same for limits and sights only if no authorizer can tell them apart.
func TestIdentity(t *testing.T) {
	t.Parallel()
	base := func() *user.DefaultInfo {
		return &user.DefaultInfo{Name: "jane", UID: "1", Groups: []string{"a", "b"}, Extra: map[string][]string{"k": {"x", "y"}, "l": {"z"}}}
	}
	same := newCaller(base(), api.MeViaToken, "").id
	require.Equal(t, same, newCaller(base(), api.MeViaAggregation, "").id)
	for name, change := range map[string]func(*user.DefaultInfo){
		"name":                   func(u *user.DefaultInfo) { u.Name = "joan" },
		"uid":                    func(u *user.DefaultInfo) { u.UID = "2" },
		"a group more":           func(u *user.DefaultInfo) { u.Groups = append(u.Groups, "c") },
		"groups in one":          func(u *user.DefaultInfo) { u.Groups = []string{`a" "b`} },
		"name into uid":          func(u *user.DefaultInfo) { u.Name, u.UID = `jane" "1`, "" },
		"an extra":               func(u *user.DefaultInfo) { u.Extra["m"] = nil },
		"an extra's value":       func(u *user.DefaultInfo) { u.Extra["k"] = []string{"x"} },
		"extras across the keys": func(u *user.DefaultInfo) { u.Extra = map[string][]string{"k": {"x"}, "l": {"y", "z"}} },
	} {
		u := base()
		change(u)
		require.NotEqual(t, same, newCaller(u, api.MeViaToken, "").id, name)
	}
	shuffled := base()
	slices.Reverse(shuffled.Groups)
	shuffled.Groups = append(shuffled.Groups, user.AllAuthenticated)
	require.Equal(t, same, newCaller(shuffled, api.MeViaToken, "").id, "groups have no order, and everybody is authenticated")
}

// Whatever a token is, it is read without a panic, and a refusal does not repeat it.
func FuzzTokens(f *testing.F) {
	f.Add("a.b.c")
	f.Add(jwt(time.Unix(1, 0)))
	f.Fuzz(func(t *testing.T, token string) {
		_, tokens := newReviewer()
		_, _, err := tokens.Caller(t.Context(), token)
		require.Equal(t, api.ErrorCodeUnauthenticated, code(t, err))
		text, _ := json.Marshal(err)
		if len(token) > 30 {
			require.NotContains(t, string(text), token)
		}
	})
}
