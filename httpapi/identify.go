package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/mux"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/auth"
)

// Identity tells who sends a request, what they may see, and acts in their name. See package auth, which has two.
type Identity interface {
	Authenticate(r *http.Request) (*auth.Caller, error)
	Grant(ctx context.Context, c *auth.Caller) (auth.Grant, error)
	MayGet(ctx context.Context, c *auth.Caller, path string) (bool, error)
	Config(c *auth.Caller) *rest.Config
}

type identityKey struct{}

// identified is who sends a request, and what they may see for as long as it takes.
type identified struct {
	caller *auth.Caller
	grant  auth.Grant
}

// identify lets nobody pass whom it does not know, but to what the document leaves open to everybody.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _ := mux.CurrentRoute(r).GetPathTemplate()
		security := s.document.Paths.Value(path).GetOperation(r.Method).Security
		if security != nil && len(*security) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		caller, err := s.identity.Authenticate(r)
		if e, ok := asAPIError(err); ok && e.Code == api.ErrorCodeUnauthenticated && isOptional(security) {
			next.ServeHTTP(w, r)
			return
		}
		if err == nil {
			err = s.limits.request(caller.Name())
		}
		if err == nil && path == metricsPath {
			err = s.mayGet(r.Context(), caller, path)
		}
		var grant auth.Grant
		if err == nil {
			grant, err = s.identity.Grant(r.Context(), caller)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, identified{caller, grant})))
	})
}

// isOptional tells that one of the ways to be known is not to be.
func isOptional(security *openapi3.SecurityRequirements) bool {
	return security != nil && slices.ContainsFunc(*security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
}

func (s *Server) mayGet(ctx context.Context, c *auth.Caller, path string) error {
	allowed, err := s.identity.MayGet(ctx, c, path)
	if err == nil && !allowed {
		err = api.Errorf(api.ErrorCodeForbidden, "%s may not get %s: ask for a ClusterRoleBinding to the ClusterRole kubefoundry-metrics-reader", c.Name(), path)
	}
	return err
}

// from is who sends a request.
func from(r *http.Request) identified {
	who, _ := r.Context().Value(identityKey{}).(identified)
	return who
}

// sight is what the sender of a request may see: nothing, where nobody was identified.
func sight(r *http.Request) *api.Sight { return from(r).grant.Sight }

// GetMe tells callers who they are.
func (s *Server) GetMe(w http.ResponseWriter, r *http.Request) {
	who := from(r)
	me := api.Me{Username: who.caller.Name(), Groups: who.caller.Groups(), Via: who.caller.Via(), Access: map[string]api.Access{}}
	for _, kind := range api.Kinds() {
		if access := who.grant.Sight.Access(kind); access != nil {
			me.Access[string(kind)] = *access
		}
	}
	writeJSON(w, http.StatusOK, me)
}
