package install

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// Commands are what a person could run instead, with the same outcome.
func (i *Installer) Commands(p Product) []string {
	var commands []string
	for _, step := range i.Steps(p) {
		if step.Command != "" {
			commands = append(commands, step.Command)
		}
	}
	return commands
}

// Steps are the commands, and what each is for.
func (i *Installer) Steps(p Product) []api.InstallationStep {
	var steps []api.InstallationStep
	add := func(title, description string, words ...string) {
		for at := range words {
			words[at] = quote(words[at])
		}
		steps = append(steps, api.InstallationStep{Title: title, Command: strings.Join(words, " "), Description: description})
	}
	added := false
	for _, c := range p.charts {
		if address := i.address(c.source, p.Version); !c.direct && !isOCI(address) {
			add("Add the chart repository "+c.source, "Tells Helm where the chart "+c.name+" is.", "helm", "repo", "add", c.source, address, "--force-update")
			added = true
		}
	}
	if added {
		add("Update the chart repositories", "Fetches the list of their charts.", "helm", "repo", "update")
	}
	for _, m := range p.manifests {
		add("Apply "+m.file, "Makes a CustomResourceDefinition that the operator needs.",
			"kubectl", "apply", "--server-side", "--force-conflicts", "-f", i.address(m.source, p.Version)+"/"+m.file)
	}
	for _, c := range p.charts {
		words := []string{"helm", "upgrade", "--install", c.release}
		switch address := i.address(c.source, p.Version); {
		case isOCI(address):
			words = append(words, address+"/"+c.name, "--version", p.Version)
		case c.direct:
			words = append(words, archive(address, c.name, p.Version))
		default:
			words = append(words, c.source+"/"+c.name, "--version", p.Version)
		}
		words = append(words, "--namespace", c.namespace)
		if c.namespace != "default" {
			words = append(words, "--create-namespace")
		}
		if c.skipCRDs {
			words = append(words, "--skip-crds")
		}
		words = append(words, set("", c.values)...)
		add("Install "+c.name, fmt.Sprintf("Installs %s %s in the namespace %s.", c.name, p.Version, c.namespace), words...)
	}
	return steps
}

// set is values as arguments, in a fixed order. Texts are given as texts, though they look like something else.
func set(path string, values map[string]any) (words []string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		at := strings.ReplaceAll(key, ".", `\.`)
		if path != "" {
			at = path + "." + at
		}
		switch v := values[key].(type) {
		case map[string]any:
			words = append(words, set(at, v)...)
		case string:
			words = append(words, "--set-string", at+"="+strings.NewReplacer(`\`, `\\`, ",", `\,`).Replace(v))
		default:
			words = append(words, "--set", fmt.Sprintf("%s=%v", at, v))
		}
	}
	return words
}

// quote makes one word of a shell of any text.
func quote(word string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./:=@%+,", c)
	}
	if word != "" && strings.IndexFunc(word, func(c rune) bool { return !plain(c) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
