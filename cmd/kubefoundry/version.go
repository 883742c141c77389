package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubefoundry/kubefoundry/api"
)

// Set by the linker: -X main.version=… -X main.commit=… -X main.buildTime=… (RFC 3339).
var version, commit, buildTime string

// buildVersion tells what this binary was built from: what the linker was told, else what the Go tool recorded.
func buildVersion() api.Version {
	v := api.Version{Version: version, GitCommit: commit}
	v.BuildTime, _ = time.Parse(time.RFC3339, buildTime)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	modified := ""
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			if v.GitCommit == "" {
				v.GitCommit = setting.Value
			}
		case "vcs.time":
			if v.BuildTime.IsZero() {
				v.BuildTime, _ = time.Parse(time.RFC3339, setting.Value)
			}
		case "vcs.modified":
			if setting.Value == "true" && commit == "" {
				modified = "-modified"
			}
		}
	}
	if v.GitCommit == "" {
		v.GitCommit = "unknown"
	} else {
		v.GitCommit += modified
	}
	if v.Version == "" {
		v.Version = "dev"
		if main := info.Main.Version; main != "" && main != "(devel)" {
			v.Version = main
		}
	}
	return v
}

func newVersionCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "version",
		Short: "Print what this binary was built from",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := buildVersion()
			switch output {
			case "json":
				return json.NewEncoder(c.OutOrStdout()).Encode(v)
			case "":
				built := "at an unknown time"
				if !v.BuildTime.IsZero() {
					built = v.BuildTime.UTC().Format(time.RFC3339)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "kubefoundry %s, commit %s, built %s with %s for %s/%s\n",
					v.Version, v.GitCommit, built, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
			return fmt.Errorf("output %q is not known: use json, or leave it out", output)
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "json, or one line of text when left out")
	return command
}
