package auth

import (
	"context"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// Unchecked takes everybody for the user of the server's kubeconfig. It is for a server that nobody else can reach.
type Unchecked struct {
	config *rest.Config
	caller *Caller
}

// NewUnchecked makes an Unchecked. name is who the kubeconfig's user is called, for people to read.
func NewUnchecked(config *rest.Config, name string) *Unchecked {
	return &Unchecked{config, newCaller(&user.DefaultInfo{Name: name}, api.MeViaKubeconfig, "")}
}

// Authenticate is the kubeconfig's user.
func (u *Unchecked) Authenticate(r *http.Request) (*Caller, error) {
	r.Header.Del("Authorization")
	return u.caller, nil
}

// Grant is everything that the server sees.
func (u *Unchecked) Grant(context.Context, *Caller) (Grant, error) {
	return Grant{Sight: api.Everything()}, nil
}

// MayGet is true.
func (u *Unchecked) MayGet(context.Context, *Caller, string) (bool, error) { return true, nil }

// Config is the server's own access.
func (u *Unchecked) Config(*Caller) *rest.Config { return rest.CopyConfig(u.config) }
