package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// The second signal ends the process at once: the first one restores the default action.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := newRootCommand(os.Args[1:]).ExecuteContext(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "kubefoundry:", err)
		os.Exit(1)
	}
}

func newRootCommand(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubefoundry",
		Short: "Shows ML inference deployments on Kubernetes, live",
		Long: `KubeFoundry shows ML inference deployments on Kubernetes, live.

Without a command it serves.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServeCommand(), newWatchCommand(), newVersionCommand())
	root.SetArgs(withDefault(args))
	return root
}

// withDefault makes `serve` the command where none is named, so that its flags work without it.
func withDefault(args []string) []string {
	if len(args) == 0 {
		return []string{"serve"}
	}
	if first := args[0]; !strings.HasPrefix(first, "-") || first == "-h" || first == "--help" {
		return args
	}
	return append([]string{"serve"}, args...)
}
