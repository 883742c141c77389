package runtimes

import "github.com/kubefoundry/kubefoundry/runtimes/field"

// Env returns the environment variables with plain values of a container in a custom resource, and those of the lists given
// besides, which the container's own override.
func Env(container map[string]any, more ...[]map[string]any) map[string]string {
	own := field.Maps(container, "env")
	var env map[string]string
	for _, list := range append(more, own) {
		for _, variable := range list {
			name, value := field.Text(variable, "name"), field.Text(variable, "value")
			if name == "" || value == "" {
				continue
			}
			if env == nil {
				env = make(map[string]string, len(own))
			}
			env[name] = value
		}
	}
	return env
}
