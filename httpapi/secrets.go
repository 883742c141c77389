package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/secrets"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/view"
)

// maxTokenNamespaces is how many namespaces one request goes to that names none.
const maxTokenNamespaces = 100

// tokenNamespaces are those where a token may be wanted: the runtimes' own, the default one, and those of the deployments that
// the caller sees.
func (s *Server) tokenNamespaces(r *http.Request) []string {
	var all []string
	for _, runtime := range registry.All() {
		all = append(all, runtime.Info().DefaultNamespace)
	}
	if s.settings != nil {
		all = append(all, s.settings.Get().Config.DefaultNamespace)
	}
	if page, err := s.view.List(view.Query{Kind: api.KindDeployments, Sight: sight(r)}); err == nil { // else those are not known yet
		for _, document := range page.Documents {
			var d struct{ Namespace string }
			if json.Unmarshal(document, &d) == nil {
				all = append(all, d.Namespace)
			}
		}
	}
	seen := map[string]bool{"": true}
	unique := slices.DeleteFunc(all, func(namespace string) bool {
		again := seen[namespace]
		seen[namespace] = true
		return again
	})
	return unique[:min(len(unique), maxTokenNamespaces)]
}

// inEach does something in several namespaces, some at once, and returns what came of each, in their order.
func inEach[T any](namespaces []string, do func(namespace string) T) []T {
	out := make([]T, len(namespaces))
	slots := make(chan struct{}, 8)
	var all sync.WaitGroup
	for i, namespace := range namespaces {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			out[i] = do(namespace)
		})
	}
	all.Wait()
	return out
}

func tokenSecret(namespace string) string { return "secrets " + namespace + "/" + secrets.Name }

// outcome is what came of one namespace.
type outcome struct {
	namespace string
	err       error
	// passed is why it was passed over, though it was not failed.
	passed string
}

// tokenResults puts outcomes together. All failed is an error.
func tokenResults(all []outcome, done string) (api.HfSecretResult, error) {
	result := api.HfSecretResult{Success: true, Results: []api.HfNamespaceResult{}}
	var passed, failed []string
	var first *api.Error
	var details []api.ErrorDetail
	for _, o := range all {
		switch {
		case o.passed != "":
			passed = append(passed, o.namespace+" ("+o.passed+")")
			continue
		case o.err == nil:
			result.Results = append(result.Results, api.HfNamespaceResult{Namespace: o.namespace, Success: true})
			continue
		}
		e := readable(o.err)
		if first == nil {
			first = e
		}
		failed = append(failed, o.namespace)
		result.Success = false
		details = append(details, api.ErrorDetail{Field: o.namespace, Message: e.Message})
		result.Results = append(result.Results, api.HfNamespaceResult{Namespace: o.namespace, Error: e.Message})
	}
	if len(failed) > 0 && len(failed) == len(result.Results) {
		e := api.Errorf(first.Code, "The token was %s no namespace. %s: %s", done, failed[0], first.Message)
		e.Details = details
		return result, e
	}
	if len(result.Results) == 0 {
		return result, api.Errorf(api.ErrorCodeForbidden, "The token was %s no namespace, for there is none where you may: %s. Name namespaces, or ask for the right to work with Secrets there",
			done, strings.Join(passed, ", "))
	}
	result.Message = fmt.Sprintf("The token was %s %s", done, namespacesOf(len(result.Results)-len(failed)))
	if len(failed) > 0 {
		result.Message += ", and could not be in " + strings.Join(failed, ", ")
	}
	if len(passed) > 0 {
		result.Message += ". Passed over: " + strings.Join(passed, ", ")
	}
	return result, nil
}

func namespacesOf(n int) string {
	if n == 1 {
		return "1 namespace"
	}
	return fmt.Sprintf("%d namespaces", n)
}

// readable is an error for the caller; what is none is a fault of ours.
func readable(err error) *api.Error {
	if e, ok := asAPIError(err); ok {
		return e
	}
	return api.Errorf(api.ErrorCodeInternal, "the server failed; its log says why")
}

// PutHuggingFaceSecret puts a token into namespaces, in the caller's name.
func (s *Server) PutHuggingFaceSecret(w http.ResponseWriter, r *http.Request) {
	var q api.HfSecretRequest
	if err := readBody(r, &q); err != nil {
		s.fail(w, r, err)
		return
	}
	hub, err := s.hub()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	q.AccessToken = strings.TrimSpace(q.AccessToken)
	hub.Forget(q.AccessToken) // it may have been revoked since
	user, err := hub.WhoAmI(r.Context(), q.AccessToken)
	if err != nil {
		if e, ok := asAPIError(err); ok && e.Code == api.ErrorCodeInvalidRequest {
			e = api.Errorf(e.Code, "Invalid HuggingFace token: %s", e.Message)
			e.Details = []api.ErrorDetail{{Field: "accessToken", Message: "refused by Hugging Face"}}
			err = e
		}
		s.fail(w, r, err)
		return
	}
	named := len(q.Namespaces) > 0
	namespaces := slices.Compact(slices.Sorted(slices.Values(q.Namespaces)))
	if !named {
		namespaces = s.tokenNamespaces(r)
	}
	options := secrets.PutOptions{CreateNamespace: named && q.CreateNamespaces, Overwrite: q.Overwrite}
	all := inEach(namespaces, func(namespace string) outcome {
		if !named {
			if o, ok := s.passOver(r, namespace, "create", "patch"); ok {
				return o
			}
		}
		return s.putToken(r, namespace, q.AccessToken, options, !named)
	})
	result, err := tokenResults(all, "put into")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	result.User = &user
	writeJSON(w, http.StatusOK, result)
}

// passOver tells whether the caller has too few rights in a namespace that they did not name.
func (s *Server) passOver(r *http.Request, namespace string, verbs ...string) (outcome, bool) {
	var may bool
	err := s.asCaller(r.Context(), r, "look at your rights to", tokenSecret(namespace), func(ctx context.Context, config *rest.Config) error {
		var err error
		may, err = secrets.May(ctx, config, namespace, verbs...)
		return err
	})
	switch {
	case err != nil:
		return outcome{namespace: namespace, err: err}, true
	case !may:
		return outcome{namespace: namespace, passed: "you may not"}, true
	}
	return outcome{}, false
}

// putToken puts the token into one namespace. One that is not there is no failure where nobody asked for it.
func (s *Server) putToken(r *http.Request, namespace, token string, options secrets.PutOptions, optional bool) outcome {
	var missing bool
	err := s.asCaller(context.WithoutCancel(r.Context()), r, "write", tokenSecret(namespace), func(ctx context.Context, config *rest.Config) error {
		err := secrets.Put(ctx, config, namespace, token, options)
		missing = optional && secrets.NoNamespace(err)
		return err
	})
	if missing {
		return outcome{namespace: namespace, passed: "there is no such namespace"}
	}
	s.record(r, "write", tokenSecret(namespace), err)
	return outcome{namespace: namespace, err: err}
}

// DeleteHuggingFaceSecret takes the token out of namespaces, in the caller's name.
func (s *Server) DeleteHuggingFaceSecret(w http.ResponseWriter, r *http.Request, p api.DeleteHuggingFaceSecretParams) {
	named := len(p.Namespaces) > 0
	namespaces := slices.Compact(slices.Sorted(slices.Values(p.Namespaces)))
	if !named {
		namespaces = s.tokenNamespaces(r)
	}
	all := inEach(namespaces, func(namespace string) outcome {
		if !named {
			if o, ok := s.passOver(r, namespace, "get", "delete"); ok {
				return o
			}
		}
		var was bool
		err := s.asCaller(context.WithoutCancel(r.Context()), r, "delete", tokenSecret(namespace), func(ctx context.Context, config *rest.Config) error {
			var err error
			was, err = secrets.Remove(ctx, config, namespace)
			return err
		})
		if was || err != nil {
			s.record(r, "delete", tokenSecret(namespace), err)
		}
		return outcome{namespace: namespace, err: err}
	})
	result, err := tokenResults(all, "taken out of")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, result)
}

// GetHuggingFaceSecretStatus tells where the token is, as far as the caller may look.
func (s *Server) GetHuggingFaceSecretStatus(w http.ResponseWriter, r *http.Request) {
	type looked struct {
		api.HfSecretNamespace
		err error
	}
	status := api.HfSecretStatus{Namespaces: []api.HfSecretNamespace{}}
	var failed error
	where := ""
	for _, one := range inEach(s.tokenNamespaces(r), func(namespace string) looked { //nolint:contextcheck // r has it
		l := looked{HfSecretNamespace: api.HfSecretNamespace{Name: namespace, State: api.HfSecretNamespaceStateAbsent}}
		l.err = s.asCaller(r.Context(), r, "look at", tokenSecret(namespace), func(ctx context.Context, config *rest.Config) error {
			var err error
			l.Exists, l.Managed, err = secrets.Look(ctx, config, namespace)
			return err
		})
		switch {
		case l.err != nil:
			l.State, l.Message = api.HfSecretNamespaceStateUnknown, readable(l.err).Message
		case l.Exists:
			l.State = api.HfSecretNamespaceStatePresent
		}
		return l
	}) {
		if e, ok := asAPIError(one.err); one.err != nil && (!ok || e.Code != api.ErrorCodeForbidden) {
			failed = one.err
		}
		if one.Exists && where == "" {
			where = one.Name
		}
		status.Namespaces = append(status.Namespaces, one.HfSecretNamespace)
	}
	if failed != nil { // the cluster, and no lack of rights: nothing of this would be true
		s.fail(w, r, failed)
		return
	}
	if status.Configured = where != ""; status.Configured {
		status.User, status.Message = s.tokenUser(r, where)
	}
	writeJSON(w, http.StatusOK, status)
}

// tokenUser is whose the token of a namespace is; nil with the reason where that cannot be told. The token is read as the
// caller, who may read it, and goes to Hugging Face alone.
func (s *Server) tokenUser(r *http.Request, namespace string) (*api.HfUser, string) {
	hub, err := s.hub()
	if err != nil {
		return nil, readable(err).Message
	}
	var token string
	err = s.asCaller(r.Context(), r, "read", tokenSecret(namespace), func(ctx context.Context, config *rest.Config) error {
		var err error
		token, err = secrets.Token(ctx, config, namespace)
		return err
	})
	switch {
	case err != nil:
		return nil, readable(err).Message
	case token == "":
		return nil, "the Secret in " + namespace + " has no " + secrets.Key
	}
	user, err := hub.WhoAmI(r.Context(), strings.TrimSpace(token))
	if err != nil {
		return nil, "The token in " + namespace + ": " + readable(err).Message
	}
	return &user, ""
}
