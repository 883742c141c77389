package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/chat"
)

// ChatWithDeployment is a conversation with a model, as OpenAI's API has it.
func (s *Server) ChatWithDeployment(w http.ResponseWriter, r *http.Request, name api.Name, p api.ChatWithDeploymentParams) {
	s.converse(w, r, name, p.Namespace, p.Runtime, "v1/chat/completions")
}

// CompleteWithDeployment continues a text.
func (s *Server) CompleteWithDeployment(w http.ResponseWriter, r *http.Request, name api.Name, p api.CompleteWithDeploymentParams) {
	s.converse(w, r, name, p.Namespace, p.Runtime, "v1/completions")
}

// EmbedWithDeployment turns texts into vectors.
func (s *Server) EmbedWithDeployment(w http.ResponseWriter, r *http.Request, name api.Name, p api.EmbedWithDeploymentParams) {
	s.converse(w, r, name, p.Namespace, p.Runtime, "v1/embeddings")
}

// ListServedModels is the models that a deployment's server has.
func (s *Server) ListServedModels(w http.ResponseWriter, r *http.Request, name api.Name, p api.ListServedModelsParams) {
	s.converse(w, r, name, p.Namespace, p.Runtime, "v1/models")
}

// converse hands a request on to a deployment's model server, in the caller's name, and its answer back. The line about it says
// that it was, and nothing of what was said.
func (s *Server) converse(w http.ResponseWriter, r *http.Request, name, namespace, runtime, path string) {
	d, err := s.awake(r, name, namespace, runtime)
	var body []byte
	if err == nil && r.Method == http.MethodPost {
		body, err = s.spoken(w, r)
	}
	if err == nil && s.closing.Err() != nil {
		err = errClosing
	}
	if err == nil {
		err = s.enter(from(r).caller.Name())
	}
	if err != nil {
		s.heard(r, name, path, err)
		s.fail(w, r, err)
		return
	}
	defer s.leave(from(r).caller.Name())
	object := "deployment " + d.Id
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.hurrying, cancel)() //nolint:contextcheck // it is the server that ends there, not the caller
	config := s.identity.Config(from(r).caller)
	question := chat.Question{
		Namespace: d.Namespace, Service: d.Endpoint.Service, Port: d.Endpoint.Port, Method: r.Method, Path: path, Body: body, Limits: s.chatLimits,
	}
	var answer *chat.Answer
	if question.Body, err = addressed(ctx, config, question, d); err == nil {
		answer, err = chat.Ask(ctx, config, question)
	}
	if err != nil {
		if err = s.unheard(r, d, err); err != nil {
			s.heard(r, d.Id, path, err)
			s.fail(w, r, err)
		}
		return
	}
	defer answer.Close()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", answer.ContentType)
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(answer.Status)
	if isHead(r) {
		return
	}
	err = answer.Copy(func(piece []byte) error {
		_ = control.SetWriteDeadline(time.Now().Add(s.stream.WriteDeadline)) // unsupported only in tests without a connection
		if _, err := w.Write(piece); err != nil {
			return fmt.Errorf("%s: %w", object, err)
		}
		return control.Flush()
	})
	s.heard(r, d.Id, path, err)
	if err != nil { // half an answer must not look like a whole one
		panic(http.ErrAbortHandler)
	}
}

// heard is the line about a conversation. What only reads has none.
func (s *Server) heard(r *http.Request, deployment, path string, err error) {
	if r.Method == http.MethodPost {
		s.record(r, "chat", "deployment "+deployment+" /"+path, err)
	}
}

// awake is a deployment that can answer.
func (s *Server) awake(r *http.Request, name, namespace, runtime string) (*api.Deployment, error) {
	document, err := s.deployment(r, name, namespace, runtime)
	if err != nil {
		return nil, err
	}
	d := new(api.Deployment)
	if err := json.Unmarshal(document, d); err != nil {
		return nil, fmt.Errorf("deployment %s: %w", name, err)
	}
	partly := d.Phase == api.PhaseDeploying && d.Replicas.Ready > 0 // it is being scaled, or rolled
	switch {
	case d.Phase != api.PhaseRunning && !partly:
		message := ""
		if d.Message != "" {
			message = ": " + d.Message
		}
		e := api.Errorf(api.ErrorCodeConflict, "Deployment %s is not running: it is %s%s", d.Id, d.Phase, message)
		e.Details = []api.ErrorDetail{{Field: "phase", Message: string(d.Phase)}}
		return nil, e
	case d.Endpoint == nil:
		return nil, api.Errorf(api.ErrorCodeConflict, "Deployment %s has no service that could be asked", d.Id)
	}
	return d, nil
}

// spoken is the body of a request.
func (s *Server) spoken(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, api.Errorf(api.ErrorCodeTooLarge, "the body is too large; at most %d bytes are taken", maxBody)
	}
	if err != nil {
		return nil, invalidParameter("body", "cannot be read to its end")
	}
	// The body is here. The deadline for it would end what waits for the client to leave, and with that the answer.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if _, err = chat.Model(body); err != nil {
		return nil, invalidParameter("body", err.Error())
	}
	return body, nil
}

// addressed is the body of a question with a model's name in it: its own, or the one that the deployment serves. A deployment that
// was not told a name has its own instead, which its server need not know: then that is asked.
func addressed(ctx context.Context, config *rest.Config, q chat.Question, d *api.Deployment) ([]byte, error) {
	if q.Method != http.MethodPost {
		return nil, nil
	}
	if name, err := chat.Model(q.Body); name != "" || err != nil {
		return q.Body, err
	}
	served, _, several := strings.Cut(d.ServedModelName, ", ")
	if served == d.Name || served == "" || several {
		name, err := chat.Served(ctx, config, q, served)
		switch {
		case apierrors.IsForbidden(err): // whoever may create it need not be allowed to get it
		case err != nil:
			return nil, err
		case name != "":
			served = name
		}
	}
	return chat.WithModel(q.Body, served)
}

// unheard puts the lack of an answer into words; nil where the caller is gone.
func (s *Server) unheard(r *http.Request, d *api.Deployment, err error) error {
	object := fmt.Sprintf("deployment %s at service %s:%d", d.Id, d.Endpoint.Service, d.Endpoint.Port)
	verb := "create"
	if r.Method == http.MethodGet {
		verb = "get"
	}
	switch {
	case r.Context().Err() != nil:
		return nil //nolint:nilerr // nobody is there to be told
	case errors.Is(err, chat.ErrFirstByte):
		return api.Errorf(api.ErrorCodeUnavailable, "%s: %s. Ask with \"stream\": true, or for fewer tokens", object, chat.ErrFirstByte)
	case errors.Is(err, chat.ErrTooLarge), errors.Is(err, chat.ErrRedirect), errors.Is(err, chat.ErrTotal), errors.Is(err, chat.ErrLocked):
		return api.Errorf(api.ErrorCodeUnavailable, "%s", err)
	}
	if apierrors.IsForbidden(err) {
		return api.Errorf(api.ErrorCodeForbidden, "cannot chat with %s: this needs the right to %s services/proxy in the namespace %s: %s", object, verb, d.Namespace, words(err))
	}
	code, why := explain(err)
	if code == api.ErrorCodeNotFound {
		code, why = api.ErrorCodeUnavailable, "its service is not there: "+why
	}
	if code == api.ErrorCodeUnauthenticated && from(r).caller.Via() != api.MeViaToken {
		code, why = api.ErrorCodeUnavailable, "the Kubernetes API does not accept this server's own credentials; whoever runs it has to renew them"
	}
	return api.Errorf(code, "cannot chat with %s: %s", object, why)
}
