package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

// watchOptions are the flags of `watch`.
type watchOptions struct {
	server    string
	namespace string
	kinds     []string
	output    string
	since     string
}

func newWatchCommand() *cobra.Command {
	var o watchOptions
	command := &cobra.Command{
		Use:   "watch",
		Short: "Show deployments in a terminal, live",
		Long: `Show deployments in a terminal, live.

The table follows a running server's stream of changes. After a cut it goes on from
where it was; what it shows meanwhile stays, with the time since when it is stale.
Where the terminal has no room for all deployments, those that do not run come first.
Where standard output is no terminal, the table is printed once and then a line for
each change. With -o json, it prints a line of JSON for each event:

  {"event":"reset","reason":"start"}
  {"event":"change","op":"put","kind":"deployments","id":"ml/kaito/llama","doc":{…}}
  {"event":"synced","cursor":"k3x9-112","kinds":{…}}
  {"event":"bookmark","cursor":"k3x9-118","time":"…"}

The last change of a batch and the other events carry the cursor, which --since takes
in order to go on there.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			address, err := o.address()
			if err != nil {
				return err
			}
			return runWatch(c.Context(), o, address, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := command.Flags()
	f.StringVar(&o.server, "server", cmp.Or(os.Getenv("KUBEFOUNDRY_SERVER"), "http://127.0.0.1:3001"), "the server's address; also KUBEFOUNDRY_SERVER")
	f.StringVarP(&o.namespace, "namespace", "n", "", "only this namespace")
	f.StringSliceVar(&o.kinds, "kinds", []string{string(api.KindDeployments)}, "kinds of documents, or all; other than deployments only with -o json")
	f.StringVarP(&o.output, "output", "o", "table", "table or json")
	f.StringVar(&o.since, "since", "", "go on from this cursor instead of starting with everything; only with -o json")
	return command
}

// address checks the options and returns the stream's.
func (o watchOptions) address() (string, error) {
	switch {
	case o.output != "table" && o.output != "json":
		return "", fmt.Errorf("output %q is not known: use table or json", o.output)
	case o.output == "table" && !slices.Equal(o.kinds, []string{string(api.KindDeployments)}):
		return "", errors.New("the table shows deployments: for other kinds use -o json")
	case o.output == "table" && o.since != "":
		return "", errors.New("the table starts with everything: --since goes with -o json")
	}
	server := o.server
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	address, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("server: %w", err)
	}
	if address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
		return "", fmt.Errorf("server %q: want an address such as http://127.0.0.1:3001", o.server)
	}
	address = address.JoinPath("api", "stream")
	query := url.Values{}
	if o.namespace != "" {
		query.Set("namespace", o.namespace)
	}
	if !slices.Equal(o.kinds, []string{"all"}) {
		for _, kind := range o.kinds {
			if !api.Kind(kind).Valid() {
				return "", fmt.Errorf("kind %q is not known: choose from %s, or all", kind, knownKinds())
			}
		}
		query.Set("kinds", strings.Join(o.kinds, ","))
	}
	address.RawQuery = query.Encode()
	return address.String(), nil
}

func knownKinds() string {
	var names []string
	for _, kind := range api.Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// output shows what a stream brings.
type output interface {
	// event is called for each event, after the state has taken it in; status for each turn of the connection. Both come
	// from one goroutine.
	event(streamclient.Event) error
	status(streamclient.Status)
	// run draws until the context ends.
	run(context.Context) error
}

func runWatch(ctx context.Context, o watchOptions, address string, stdout, stderr io.Writer) error {
	state := streamclient.NewState()
	var out output
	file, _ := stdout.(*os.File)
	switch {
	case o.output == "json":
		out = newJSONLines(stdout, stderr)
	case file != nil && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb":
		out = newScreen(file, state, o.server)
	default:
		out = newLines(stdout, stderr, state)
	}
	client := &streamclient.Client{URL: address, HTTP: newHTTPClient(), State: state, OnStatus: out.status}

	both, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel(client.Run(both, o.since, out.event))
	}()
	cancel(out.run(both))
	<-done
	// Who watches may interrupt, and who reads our output may stop: both are how a watch ends.
	if why := context.Cause(both); ctx.Err() == nil && !errors.Is(why, syscall.EPIPE) {
		return why
	}
	return nil
}

// newHTTPClient differs from the default one in that it gives a server that does not answer up sooner.
func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ForceAttemptHTTP2:     true,
	}}
}
