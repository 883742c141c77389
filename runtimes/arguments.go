package runtimes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// Arguments are those of an engine's command, each an element of its own. A flag's value stands in the same element, behind an
// equals sign: there it is a value whatever it begins with.
type Arguments struct {
	list  []any
	given map[string]bool // flags that the user sets, which win over ours
}

// NewArguments notes which flags a configuration gives itself.
func NewArguments(c *api.DeploymentConfig) *Arguments {
	a := &Arguments{given: map[string]bool{}}
	for name := range c.EngineArgs {
		a.given[flagName(name)] = true
	}
	for _, arg := range c.ExtraArgs {
		if strings.HasPrefix(arg, "-") {
			name, _, _ := strings.Cut(arg, "=")
			a.given[flagName(name)] = true
		}
	}
	return a
}

// flagName is a flag without dashes before it, and with dashes in it: engines take underscores for the same.
func flagName(arg string) string {
	return strings.ReplaceAll(strings.TrimLeft(arg, "-"), "_", "-")
}

// Given tells whether the user sets a flag, by any of its names.
func (a *Arguments) Given(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return name != "" && a.given[flagName(name)] })
}

// Words appends words that are no user's.
func (a *Arguments) Words(words ...string) {
	for _, word := range words {
		a.list = append(a.list, Literal(word))
	}
}

// Set appends `--name=value`, unless the user sets it by this or another of its names.
func (a *Arguments) Set(name, value string, others ...string) {
	if value != "" && !a.Given(append(others, name)...) {
		a.list = append(a.list, Literal("--"+name+"="+value))
	}
}

// SetInt is Set for a number that is not zero.
func (a *Arguments) SetInt(name string, n int, others ...string) {
	if n != 0 {
		a.Set(name, strconv.Itoa(n), others...)
	}
}

// Switch appends a flag without a value: on or off, which may be empty, or nothing where the user does not say.
func (a *Arguments) Switch(is *bool, on, off string) {
	if is == nil || a.Given(on, off) {
		return
	}
	if name := map[bool]string{true: on, false: off}[*is]; name != "" {
		a.list = append(a.list, "--"+name)
	}
}

// Finish appends what the user gives, in a steady order, and returns all.
func (a *Arguments) Finish(c *api.DeploymentConfig) []any {
	for _, name := range slices.Sorted(maps.Keys(c.EngineArgs)) {
		switch value := c.EngineArgs[name].(type) {
		case nil:
		case bool:
			if value {
				a.list = append(a.list, Literal("--"+name))
			}
		default:
			a.list = append(a.list, Literal("--"+name+"="+text(value)))
		}
	}
	a.Words(c.ExtraArgs...)
	return a.list
}

// text is a value as it stands on a command line; what has parts is JSON.
func text(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	b, err := json.Marshal(value)
	if err != nil { // of what was read from JSON
		return fmt.Sprint(value)
	}
	return string(b)
}

// Literal escapes a text that Kubernetes would look for references in, such as $(NAME): in a command, an argument, and the
// value of an environment variable. What reaches the container is the text as it was.
func Literal(s string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		if s[i] == '$' && i+1 < len(s) && (s[i+1] == '$' || s[i+1] == '(') {
			b.WriteByte('$')
		}
	}
	return b.String()
}
