// Devcluster is a Kubernetes control plane for development and tests: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler and KWOK, in one binary
// and without containers. "devcluster up" runs it; the components are this same
// binary, started again under another command.
package main

import (
	"context"
	"fmt"
	"os"
	// Component logs and CronJobs name time zones; the machine may have none.
	_ "time/tzdata"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use:           "devcluster",
		Short:         "A Kubernetes control plane with simulated GPU nodes, for development and tests",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(upCommand())
	root.AddCommand(componentCommands()...)
	if err := root.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}
