package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// errAsked is the cause of an end that somebody wanted.
var errAsked = errors.New("asked to end")

func upCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "up",
		Short: "Run a cluster until interrupted",
		Long: `Run a cluster until interrupted.

One line of JSON on standard output says that the cluster is ready and where its
kubeconfig is: {"event":"ready","kubeconfig":…,"server":…,"dir":…,"pid":…}.

Signals:
  SIGINT, SIGTERM  end; no process and no file is left
  SIGUSR1          kill kube-apiserver and start it again on the same port with the
                   same data; {"event":"apiserver-restarted"} when it is ready
  SIGUSR2          compact etcd, so that old resource versions are gone;
                   {"event":"compacted","revision":…}

When a component ends by itself, so does the cluster, with status 1 and the end of
the component's log.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			progress := c.ErrOrStderr()
			if o.quiet {
				progress = io.Discard
			}
			return up(c.Context(), o, newReport(c.OutOrStdout(), progress))
		},
	}
	o.addFlags(command)
	return command
}

// up runs a cluster and reacts to signals.
func up(ctx context.Context, o options, r *report) error {
	// From the first moment: the default action of the user signals is to end the
	// process, and files would be left.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2,
		// A program that is gone no longer reads what is told to it; Go would end
		// this process at the next line.
		syscall.SIGPIPE)
	defer signal.Stop(signals)

	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if o.untilStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			end(errAsked)
		}()
	}
	// Requests for the running cluster wait until it is ready.
	requests := make(chan os.Signal, 8)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				switch s {
				case syscall.SIGPIPE:
				case syscall.SIGUSR1, syscall.SIGUSR2:
					select {
					case requests <- s:
					default:
					}
				default:
					end(errAsked)
				}
			}
		}
	}()

	c, err := newCluster(end, o, r)
	if err != nil {
		return err
	}
	err = c.run(ctx, requests)
	// What ended the cluster says more than what it was just waiting for.
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	end(err)
	if errors.Is(err, errAsked) {
		err = nil
	}
	r.Step("ending")
	return errors.Join(err, c.stop())
}

// run starts the cluster and serves requests until ctx is done.
func (c *cluster) run(ctx context.Context, requests <-chan os.Signal) error {
	if err := c.start(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-requests:
			c.serve(ctx, s)
		}
	}
}

// serve does what a signal asks a running cluster for.
func (c *cluster) serve(ctx context.Context, s os.Signal) {
	var done message
	var err error
	if s == syscall.SIGUSR1 {
		done.Event = eventRestarted
		err = c.restartAPIServer(ctx)
	} else {
		done.Event = eventCompacted
		done.Revision, err = c.store.Compact(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		done = message{Event: eventError, Error: err.Error()}
	}
	c.report.Step("%s", describe(done))
	if err := c.report.Send(done); err != nil {
		// A script may read no further than "ready". That is no reason to end.
		c.report.Step("%v", err)
	}
}

func describe(m message) string {
	switch m.Event {
	case eventCompacted:
		return fmt.Sprintf("etcd compacted at revision %d", m.Revision)
	case eventError:
		return m.Error
	default:
		return "kube-apiserver restarted"
	}
}
