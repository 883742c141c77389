package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	// Side effects that the components' own main packages import.
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// The components, by the names of their commands.
const (
	apiserverName   = "kube-apiserver"
	controllersName = "kube-controller-manager"
	schedulerName   = "kube-scheduler"
	kwokName        = "kwok"
)

// componentCommands are what "up" starts this binary with. They are processes of
// their own, because each takes over the process's signals and panics if another
// has done so before.
func componentCommands() []*cobra.Command {
	kubernetes := func(name string, build func() *cobra.Command) *cobra.Command {
		return hidden(name, func(args []string) int {
			command := build()
			command.SetArgs(args)
			return cli.Run(command)
		})
	}
	return []*cobra.Command{
		kubernetes(apiserverName, apiserver.NewAPIServerCommand),
		kubernetes(controllersName, func() *cobra.Command { return controllers.NewControllerManagerCommand() }),
		kubernetes(schedulerName, func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
		hidden(kwokName, runKWOK),
	}
}

// hidden is a command that is not in the help and hands all of its arguments on.
func hidden(name string, run func(args []string) int) *cobra.Command {
	return &cobra.Command{
		Use:                name,
		Hidden:             true,
		DisableFlagParsing: true,
		Run:                func(_ *cobra.Command, args []string) { os.Exit(run(args)) },
	}
}
