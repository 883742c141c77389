package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/kubefoundry/kubefoundry/api"
)

// Caller is who asks. It is immutable.
type Caller struct {
	user  user.Info
	via   api.MeVia
	token string // where via is token
	id    string
}

func newCaller(u user.Info, via api.MeVia, token string) *Caller {
	groups := slices.Clone(u.GetGroups())
	anonymous := u.GetName() == user.Anonymous || slices.Contains(groups, user.AllUnauthenticated)
	if !anonymous && !slices.Contains(groups, user.AllAuthenticated) {
		groups = append(groups, user.AllAuthenticated)
	}
	u = &user.DefaultInfo{Name: u.GetName(), UID: u.GetUID(), Groups: groups, Extra: u.GetExtra()}
	return &Caller{user: u, via: via, token: token, id: identity(u)}
}

// identity is the same for callers that no authorizer can tell apart.
func identity(u user.Info) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q", u.GetName(), u.GetUID(), slices.Sorted(slices.Values(u.GetGroups())))
	extra := u.GetExtra()
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		fmt.Fprintf(h, " %q %q", key, extra[key])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Name is the user's name, as kubectl auth whoami shows it. Limits count by it: a user can have many tokens.
func (c *Caller) Name() string { return c.user.GetName() }

// Groups are the user's groups.
func (c *Caller) Groups() []string { return c.user.GetGroups() }

// Via tells how the caller came.
func (c *Caller) Via() api.MeVia { return c.via }
