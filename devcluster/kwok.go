package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/cel"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// runKWOK is KWOK's own command line.
func runKWOK(args []string) int {
	// KWOK reads its configuration files before it parses flags with cobra, and
	// it reads the process's arguments to find them.
	os.Args = append(os.Args[:1], args...)
	// The Kubernetes components that are linked in have put flags into the global
	// set, which cobra adds to every command; their --version is not a bool, and
	// KWOK's is.
	pflag.CommandLine = pflag.NewFlagSet(kwokName, pflag.ExitOnError)
	if err := fillTypeCache(); err != nil {
		fmt.Fprintln(os.Stderr, "kwok:", err)
		return 1
	}
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx := signals.SetupSignalContext()
	ctx, _ = log.InitFlags(ctx, flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kwok: configuration:", err)
		return 1
	}
	command := cmd.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kwok:", err)
		return 1
	}
	return 0
}

// fillTypeCache has KWOK's CEL library look at the types of nodes and pods before
// two goroutines do so at once: its cache of types (easycel v0.6.0, types.go) is
// a map without a lock, and a concurrent write ends the process.
func fillTypeCache() error {
	for _, self := range []any{&corev1.Node{}, &corev1.Pod{}} {
		if _, err := cel.NewEnvironment(cel.EnvironmentConfig{
			Types:       slices.Clone(cel.DefaultTypes),
			Conversions: slices.Clone(cel.DefaultConversions),
			Methods:     maps.Clone(cel.FuncsToMethods(cel.DefaultFuncs)),
			Funcs:       maps.Clone(cel.DefaultFuncs),
			Vars:        map[string]any{"self": self},
		}); err != nil {
			return fmt.Errorf("types of stages: %w", err)
		}
	}
	return nil
}
