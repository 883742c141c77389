package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

// watchOptions are the flags of `watch`.
type watchOptions struct {
	way       wayOptions
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
in order to go on there.

Without further flags it asks a server on this machine. With --cluster it goes through
the Kubernetes API, as the user of the kubeconfig, and shows what that user may see.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w, err := o.find()
			if err != nil {
				return err
			}
			return runWatch(c.Context(), o, w, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := command.Flags()
	o.way.bind(f)
	f.StringVarP(&o.namespace, "namespace", "n", "", "only this namespace")
	f.StringSliceVar(&o.kinds, "kinds", []string{string(api.KindDeployments)}, "kinds of documents, or all; other than deployments only with -o json")
	f.StringVarP(&o.output, "output", "o", "table", "table or json")
	f.StringVar(&o.since, "since", "", "go on from this cursor instead of starting with everything; only with -o json")
	return command
}

// find checks the options and returns the way to the stream.
func (o watchOptions) find() (way, error) {
	query, err := o.query()
	if err != nil {
		return way{}, err
	}
	w, err := o.way.find(o.namespace)
	if err != nil {
		return way{}, err
	}
	w.address = w.address.JoinPath("api", "stream")
	w.address.RawQuery = query.Encode()
	return w, nil
}

// query checks the options and returns the stream's filter.
func (o watchOptions) query() (url.Values, error) {
	switch {
	case o.output != "table" && o.output != "json":
		return nil, fmt.Errorf("output %q is not known: use table or json", o.output)
	case o.output == "table" && !slices.Equal(o.kinds, []string{string(api.KindDeployments)}):
		return nil, errors.New("the table shows deployments: for other kinds use -o json")
	case o.output == "table" && o.since != "":
		return nil, errors.New("the table starts with everything: --since goes with -o json")
	}
	query := url.Values{}
	if o.namespace != "" {
		query.Set("namespace", o.namespace)
	}
	if !slices.Equal(o.kinds, []string{"all"}) {
		for _, kind := range o.kinds {
			if !api.Kind(kind).Valid() {
				return nil, fmt.Errorf("kind %q is not known: choose from %s, or all", kind, knownKinds())
			}
		}
		query.Set("kinds", strings.Join(o.kinds, ","))
	}
	return query, nil
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

func runWatch(ctx context.Context, o watchOptions, w way, stdout, stderr io.Writer) error {
	state := streamclient.NewState()
	var out output
	file, _ := stdout.(*os.File)
	switch {
	case o.output == "json":
		out = newJSONLines(stdout, stderr)
	case file != nil && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb":
		out = newScreen(file, state, w.name)
	default:
		out = newLines(stdout, stderr, state)
	}
	client := &streamclient.Client{URL: w.address.String(), HTTP: w.client, State: state, OnStatus: out.status}

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
