package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// fromEnvironmentAndFile gives each flag that was not set on the command line its value from the environment, else from the
// file that --config names. `--nats-url` is KUBEFOUNDRY_NATS_URL there, and `nats-url` in the file.
func fromEnvironmentAndFile(c *cobra.Command) error {
	file, err := readSettings(c.Flags())
	if err != nil {
		return err
	}
	var failed error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		variable := "KUBEFOUNDRY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, from := os.Getenv(variable), variable
		if value == "" {
			value, from = file[f.Name], "setting "+f.Name
		}
		if f.Changed || value == "" || failed != nil {
			return
		}
		if err := c.Flags().Set(f.Name, value); err != nil {
			failed = fmt.Errorf("%s: %w", from, err)
		}
	})
	return failed
}

// readSettings reads the file that --config or KUBEFOUNDRY_CONFIG names: YAML, flag names as keys. A key that is no flag is a
// mistake that somebody wants to know of.
func readSettings(flags *pflag.FlagSet) (map[string]string, error) {
	path := flags.Lookup("config").Value.String()
	if path == "" {
		path = os.Getenv("KUBEFOUNDRY_CONFIG")
	}
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var raw map[string]any
	if err := yaml.UnmarshalStrict(content, &raw); err != nil {
		return nil, fmt.Errorf("settings %s: %w", path, err)
	}
	settings := make(map[string]string, len(raw))
	for name, value := range raw {
		if flags.Lookup(name) == nil || name == "config" {
			return nil, fmt.Errorf("settings %s: %q is no setting; `kubefoundry serve --help` lists them", path, name)
		}
		if list, ok := value.([]any); ok {
			items := make([]string, len(list))
			for i, item := range list {
				items[i] = fmt.Sprint(item)
			}
			value = strings.Join(items, ",")
		}
		settings[name] = fmt.Sprint(value)
	}
	return settings, nil
}
