package streamclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// Watchdog is how long a connection may be silent. The server sends a bookmark every 15 s.
const Watchdog = 45 * time.Second

// Client reads one stream. Its fields are not changed while Run is running.
type Client struct {
	// URL is the stream's address with its filter: …/api/stream?kinds=deployments&namespace=ml.
	URL string
	// HTTP sends the requests; it must have no Timeout. http.DefaultClient where nil.
	HTTP *http.Client
	// Header is sent along, such as Authorization.
	Header http.Header
	// State takes the events in before the handler sees them. Nil for a consumer that wants events only: then they are not
	// decoded either.
	State *State
	// OnStatus is told how the connection fares, from the goroutine of Run. May be nil.
	OnStatus func(Status)
	// Watchdog replaces the constant of that name where it is not 0.
	Watchdog time.Duration
}

// Status is how the connection fares.
type Status struct {
	// Live says that the server answers with a stream.
	Live bool
	// Err says why it does not; nil while the first connection is being made.
	Err error
	// Retry is how long until the next attempt.
	Retry time.Duration
}

// Handler takes an event. An error ends Run, which returns it.
type Handler func(Event) error

var (
	errSilent = errors.New("the server has been silent for too long")
	errEnded  = errors.New("the server ended the connection")
)

// Run reads the stream from a cursor on, empty for everything, and goes on after each cut, until the context ends, the
// handler fails, or the server refuses in a way that asking again does not change: then the error is a *StatusError. With
// a cursor, State should hold what the list had that the cursor came with.
func (c *Client) Run(ctx context.Context, since string, handler Handler) error {
	if _, err := c.request(ctx, since); err != nil {
		return err
	}
	if c.OnStatus == nil {
		quiet := *c
		quiet.OnStatus = func(Status) {}
		c = &quiet
	}
	var wait backoff
	cursor, wasUp := since, false
	for {
		c.OnStatus(Status{})
		one := connection{client: c, handler: handler, cursor: cursor}
		err := one.run(ctx)
		cursor = one.cursor
		wasUp = wasUp || one.live
		wait.succeeded(one.held)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failed, ok := errors.AsType[*handlerError](err); ok {
			return failed.err
		}
		if refused, ok := errors.AsType[*StatusError](err); ok && refused.final(wasUp) {
			return refused
		}
		// A server that said when to come back has drawn the time for each client already.
		delay := min(one.comeBack, longestAsked)
		if !one.bye {
			delay = wait.next(one.comeBack)
		}
		c.OnStatus(Status{Err: err, Retry: delay})
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (c *Client) request(ctx context.Context, cursor string) (*http.Request, error) {
	address, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("the stream's address: %w", err)
	}
	if cursor != "" {
		query := address.Query()
		query.Set("since", cursor)
		address.RawQuery = query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("the stream's address: %w", err)
	}
	maps.Copy(request.Header, c.Header)
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Cache-Control", "no-cache")
	// net/http would ask for gzip, behind which a proxy may hold events back.
	request.Header.Set("Accept-Encoding", "identity")
	return request, nil
}

// connection is one attempt, and what is known after it.
type connection struct {
	client  *Client
	handler Handler
	cursor  string
	// live says that it became a stream, held for how long.
	live bool
	held time.Duration
	// bye says that the server ended it in order. comeBack is the wait that the server asked for.
	bye      bool
	comeBack time.Duration
}

type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }

func (c *connection) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := c.client.Watchdog
	if silence == 0 {
		silence = Watchdog
	}
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()

	request, err := c.client.request(ctx, c.cursor)
	if err != nil {
		return err
	}
	response, err := cmp.Or(c.client.HTTP, http.DefaultClient).Do(request)
	if err != nil {
		return cause(ctx, err)
	}
	defer response.Body.Close()
	if media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); response.StatusCode != http.StatusOK || media != "text/event-stream" {
		refused := refusal(response)
		c.comeBack = refused.RetryAfter
		return refused
	}
	c.live = true
	began := time.Now()
	c.client.OnStatus(Status{Live: true})
	err = c.read(&guarded{response.Body, watchdog, silence})
	c.held = time.Since(began)
	return cause(ctx, err)
}

// cause replaces "context canceled" by the reason, where it was ours, and leaves out the address, which is known.
func cause(ctx context.Context, err error) error {
	if reason := context.Cause(ctx); reason != nil && errors.Is(err, context.Canceled) {
		return reason
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		return request.Err
	}
	return err
}

// read hands events over until the connection ends. It always returns an error.
func (c *connection) read(stream io.Reader) error {
	if c.client.State != nil {
		c.client.State.begin(c.cursor)
	}
	reader := NewReader(stream, c.cursor)
	for {
		event, err := reader.Next()
		c.comeBack = reader.Retry()
		if err != nil {
			// All that was read has been handed over, so an id that came without an event counts too.
			c.cursor = reader.Cursor()
			if errors.Is(err, io.EOF) {
				err = errEnded
			}
			return err
		}
		if c.client.State != nil {
			if err := c.client.State.Apply(event); err != nil {
				return err
			}
		}
		if err := c.handler(event); err != nil {
			return &handlerError{err}
		}
		c.cursor = event.Cursor
		if event.Type == EventBye {
			bye, err := event.Bye()
			if err != nil {
				return err
			}
			c.bye, c.comeBack = true, max(time.Duration(bye.RetryMs)*time.Millisecond, 0)
			return fmt.Errorf("the server ended the stream: %s", bye.Reason)
		}
	}
}

// guarded runs the watchdog while it waits for the server, and not while the handler works.
type guarded struct {
	io.Reader
	watchdog *time.Timer
	silence  time.Duration
}

func (g *guarded) Read(p []byte) (int, error) {
	g.watchdog.Reset(g.silence)
	defer g.watchdog.Stop()
	return g.Reader.Read(p)
}
