// Run builds the devcluster binary if need be and becomes it:
//
//	go run ./internal/devcluster/run up --kubeconfig=/tmp/kubeconfig
//
// "path" only builds it and prints where it is.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	binary, err := devcluster.Binary(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 1 && args[0] == "path" {
		fmt.Println(binary)
		return nil
	}
	// The same process, so that signals reach the cluster itself.
	if err := syscall.Exec(binary, append([]string{"devcluster"}, args...), os.Environ()); err != nil {
		return fmt.Errorf("devcluster: %s: %w", binary, err)
	}
	return nil
}
