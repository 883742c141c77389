package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/kubefoundry/kubefoundry/httpapi"
)

// roleCommand makes this program one of the servers that it measures. It is spoken to in JSON on standard input, answers on
// standard output, and ends with its input.
const roleCommand = "role"

// Roles.
const (
	roleView     = "view"     // KubeFoundry's HTTP API over a view that is filled here
	roleBare     = "bare"     // a handler that writes rendered bytes
	roleUncached = "uncached" // a handler that lists from Kubernetes for each request
)

// casting is the first line that a role reads.
type casting struct {
	Role       string `json:"role"`
	Documents  int    `json:"documents,omitempty"`
	Bytes      int    `json:"bytes,omitempty"` // of a document
	Kubeconfig string `json:"kubeconfig,omitempty"`
}

// order is a further line. What is zero is not wanted. The answer comes when all of it is done.
type order struct {
	// Settle collects garbage before usage is measured.
	Settle bool `json:"settle,omitempty"`
	// Single changes one document, so many times, with a pause of Every.
	Single int `json:"single,omitempty"`
	// Burst changes all documents in turn for so long, Rate times a second.
	Burst time.Duration `json:"burst,omitempty"`
	Rate  int           `json:"rate,omitempty"`

	Every time.Duration `json:"every,omitempty"`

	// Profile is where profiles go: the CPU's, of this order, and what is on the heap after it.
	Profile string `json:"profile,omitempty"`
}

// answer is what a role says, when it is ready and to each order.
type answer struct {
	Address string `json:"address,omitempty"`
	Error   string `json:"error,omitempty"`
	Usage   usage  `json:"usage"`
}

// part is a role being played.
type part interface {
	http.Handler
	// changed is called with new versions of documents after the view has them.
	changed(ctx context.Context) error
	close()
}

func playRole(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, answers := json.NewDecoder(in), json.NewEncoder(out)
	var c casting
	if err := lines.Decode(&c); err != nil {
		return fmt.Errorf("role: %w", err)
	}
	feed, p, err := c.cast()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := httpapi.HTTPServer(p, zap.NewNop())
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	defer func() {
		p.close()
		_ = web.Close()
		<-served //nolint:errcheck // only that it ended
	}()
	reply := answer{Address: listener.Addr().String()}
	for {
		if reply.Usage, err = ownUsage(false); err != nil {
			return err
		}
		if err := answers.Encode(reply); err != nil {
			return err
		}
		var o order
		if err := lines.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("role: %w", err)
		}
		reply = answer{}
		profile, err := newProfile(o.Profile)
		if err == nil {
			err = errors.Join(feed.carryOut(ctx, o, p.changed), profile.end())
		}
		if err != nil {
			reply.Error = err.Error()
		}
		if o.Settle {
			if _, err := ownUsage(true); err != nil {
				return err
			}
		}
	}
}

func (c casting) cast() (*feed, part, error) {
	f, err := newFeed(c.Documents, c.Bytes)
	if err != nil {
		return nil, nil, err
	}
	var p part
	switch c.Role {
	case roleView:
		p, err = newViewPart(f)
	case roleBare:
		p, err = newBarePart(f)
	case roleUncached:
		p, err = newUncachedPart(c.Kubeconfig)
	default:
		err = fmt.Errorf("role %q is not known", c.Role)
	}
	return f, p, err
}
