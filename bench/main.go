package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The second signal ends the process at once: the first one restores the default action.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: bench list|fanout|freshness|lifecycle|scale [flags]; -h after the name lists the flags")

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "list":
		return parsed(flags, args[1:], newListBench(flags), func(b *listBench) error { return b.run(ctx, out) })
	case "fanout":
		return parsed(flags, args[1:], newFanoutBench(flags), func(b *fanoutBench) error { return b.run(ctx, out) })
	case "freshness":
		return parsed(flags, args[1:], newFreshnessBench(flags), func(b *freshnessBench) error { return b.run(ctx, out) })
	case "lifecycle":
		return parsed(flags, args[1:], newLifecycleBench(flags), func(b *lifecycleBench) error { return b.run(ctx, out) })
	case "scale":
		return parsed(flags, args[1:], newScaleBench(flags), func(b *scaleBench) error { return b.run(ctx, out) })
	case roleCommand:
		return playRole(ctx, in, out)
	}
	return errUsage
}

func parsed[B any](flags *flag.FlagSet, args []string, b B, run func(B) error) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	return run(b)
}
