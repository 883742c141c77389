package devcluster

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// testIssuer checks tokens against a cluster that takes those of issuer and knows
// nothing of stranger.
func testIssuer(t *testing.T, c *Cluster, issuer, stranger *Issuer) {
	eventually(t, "a token of the issuer", func() string {
		if _, err := whoami(t, c.Bearer(issuer.Token(t, "jane", nil, time.Minute))); err != nil {
			return err.Error()
		}
		return ""
	})
	token := issuer.Token(t, "jane", []string{"team-a", "team-b"}, time.Minute)
	expectUser(t, c.Bearer(token), issuer.User("jane").Name, issuer.Group("team-a").Name, issuer.Group("team-b").Name)

	claims := func(change func(map[string]any)) string {
		all := map[string]any{
			"iss": issuer.URL, "aud": oidcClientID, "sub": "jane", "exp": time.Now().Add(time.Minute).Unix(),
		}
		change(all)
		return issuer.Sign(t, all)
	}
	expectUser(t, c.Bearer(claims(func(map[string]any) {})), issuer.User("jane").Name)
	header, rest, _ := strings.Cut(token, ".")
	_, signature, _ := strings.Cut(rest, ".")
	_, payload, _ := strings.Cut(issuer.Token(t, "root", nil, time.Minute), ".")
	payload, _, _ = strings.Cut(payload, ".")
	for what, wrong := range map[string]string{
		"an expired token":           issuer.Token(t, "jane", nil, -time.Second),
		"another issuer's token":     stranger.Token(t, "jane", nil, time.Minute),
		"another key's token":        stranger.Sign(t, map[string]any{"iss": issuer.URL, "aud": oidcClientID, "sub": "jane", "exp": time.Now().Add(time.Minute).Unix()}),
		"a token for another client": claims(func(all map[string]any) { all["aud"] = "other" }),
		"a token without a subject":  claims(func(all map[string]any) { delete(all, "sub") }),
		"a token without an expiry":  claims(func(all map[string]any) { delete(all, "exp") }),
		"a token with another body":  header + "." + payload + "." + signature,
	} {
		expectUnauthorized(t, what, c.Bearer(wrong))
	}

	t.Run("expiry", func(t *testing.T) {
		const lifetime = 4 * time.Second
		used := c.Bearer(issuer.Token(t, "jane", nil, lifetime))
		unused := c.Bearer(issuer.Token(t, "jane", []string{"unused"}, lifetime))
		expires := time.Now().Add(lifetime)
		expectUser(t, used, issuer.User("jane").Name)
		time.Sleep(time.Until(expires))
		expectUnauthorized(t, "a token that expired before its first use", unused)
		eventually(t, "a token that expired after its first use", func() string {
			if _, err := whoami(t, used); !apierrors.IsUnauthorized(err) {
				return "is accepted still"
			}
			return ""
		})
		// The API server keeps what it has accepted for ten seconds.
		late := time.Since(expires)
		t.Logf("a token that was in use was accepted for %s after its expiry", late.Round(time.Millisecond))
		if late > 15*time.Second {
			t.Errorf("a token was accepted for %s after its expiry", late)
		}
	})
}
