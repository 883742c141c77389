package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Limits bound one answer.
type Limits struct {
	FirstByte, Total time.Duration
	// Bytes of an answer, and of one that says what is wrong.
	Bytes, ErrorBytes int64
}

func (l Limits) withDefaults() Limits {
	if l.FirstByte == 0 {
		l.FirstByte = time.Minute
	}
	if l.Total == 0 {
		l.Total = 10 * time.Minute
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 20
	}
	if l.ErrorBytes == 0 {
		l.ErrorBytes = 64 << 10
	}
	return l
}

// Why an answer is not the whole one.
var (
	ErrFirstByte = errors.New("the model server did not begin to answer in time")
	ErrTotal     = errors.New("the answer took too long")
	ErrTooLarge  = errors.New("the answer is too large")
	ErrRedirect  = errors.New("the model server answers with a redirection, which is not followed")
	ErrLocked    = errors.New("the model server wants credentials of its own")
)

// Question is what a model server is asked.
type Question struct {
	Namespace, Service string
	Port               int
	// Path below the service, as in v1/models. It is not taken from a request.
	Method, Path string
	Body         []byte
	Limits       Limits
}

// Answer is a model server's. Close it.
type Answer struct {
	Status      int
	ContentType string
	// Streams tells that it comes piece by piece.
	Streams bool

	limits Limits
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	ctx    context.Context //nolint:containedctx // its cause says why reading failed
	began  *time.Timer
	end    context.CancelFunc
}

// Ask sends a question. Errors of the Kubernetes API come as those, wrapped; those of the model server are answers.
func Ask(ctx context.Context, config *rest.Config, q Question) (*Answer, error) {
	a := &Answer{limits: q.Limits.withDefaults()}
	ctx, a.end = context.WithTimeoutCause(ctx, a.limits.Total, ErrTotal)
	ctx, a.cancel = context.WithCancelCause(ctx)
	a.ctx = ctx
	a.began = time.AfterFunc(a.limits.FirstByte, func() { a.cancel(ErrFirstByte) })
	err := a.ask(config, q)
	if err != nil {
		err = fmt.Errorf("service %s/%s:%d: %w", q.Namespace, q.Service, q.Port, a.why(err))
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Answer) ask(config *rest.Config, q Question) error {
	config = rest.CopyConfig(config)
	// A connection of its own: it ends at once when nobody listens any more, and holds no more than the sockets do.
	config.NextProtos = []string{"http/1.1"}
	config.Timeout, config.DisableCompression = 0, true
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	api, err := typed.NewForConfigAndClient(config, transport)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	client := *transport
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	url := api.RESTClient().Verb(q.Method).Namespace(q.Namespace).Resource("services").Name(q.Service + ":" + strconv.Itoa(q.Port)).SubResource("proxy").Suffix(q.Path).URL()
	request, err := http.NewRequestWithContext(a.ctx, q.Method, url.String(), bytes.NewReader(q.Body))
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if len(q.Body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Accept", "application/json, text/event-stream")
	response, err := client.Do(request) //nolint:bodyclose // Close does
	if err != nil {
		return err //nolint:wrapcheck // the caller does
	}
	a.body, a.Status = response.Body, response.StatusCode
	a.ContentType, a.Streams = harmless(response.Header.Get("Content-Type"))
	switch {
	case a.Status >= 400:
		return a.refused()
	case a.Status >= 300:
		return ErrRedirect
	case response.ContentLength > a.limits.Bytes:
		return ErrTooLarge
	}
	return nil
}

// refused tells an error of the Kubernetes API, which comes as an object of its own, from one of the model server.
func (a *Answer) refused() error {
	text, err := io.ReadAll(io.LimitReader(a.body, a.limits.ErrorBytes))
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	_ = a.body.Close()
	var status metav1.Status
	if json.Unmarshal(text, &status) == nil && status.Kind == "Status" && status.APIVersion == "v1" && int(status.Code) == a.Status {
		return &apierrors.StatusError{ErrStatus: status}
	}
	if a.Status == http.StatusUnauthorized {
		return ErrLocked // 401 would tell clients that it is their cluster token that is refused
	}
	a.body = io.NopCloser(bytes.NewReader(text))
	return nil
}

// harmless is a content type that a browser shows and does not run.
func harmless(from string) (contentType string, streams bool) {
	kind, _, err := mime.ParseMediaType(from)
	switch {
	case err == nil && kind == "application/json":
		return "application/json", false
	case err == nil && kind == "text/event-stream":
		return kind, true
	}
	return "text/plain; charset=utf-8", false
}

// why is what ended the context, where that is why something failed.
func (a *Answer) why(err error) error {
	if cause := context.Cause(a.ctx); cause != nil {
		return cause
	}
	return err
}

// Copy hands the answer on, piece by piece. write is called for each, and returns when it is taken. An error leaves half an answer.
func (a *Answer) Copy(write func([]byte) error) error {
	buffer := make([]byte, 16<<10)
	var total int64
	for {
		n, err := a.body.Read(buffer)
		if n > 0 {
			a.began.Stop()
			if total += int64(n); total > a.limits.Bytes {
				return ErrTooLarge
			}
			if err := write(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("answer: %w", a.why(err))
		}
	}
}

// Close ends it, whether all was read or not.
func (a *Answer) Close() {
	a.began.Stop()
	a.cancel(context.Canceled)
	a.end()
	if a.body != nil {
		_ = a.body.Close()
	}
}
