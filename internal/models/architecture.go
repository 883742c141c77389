package models

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/kubefoundry/kubefoundry/api"
)

//go:embed architectures.yaml
var architecturesYAML []byte

type architectures struct {
	Engines map[string][]api.Engine `json:"engines"`
	Names   []nameRule              `json:"names"`
}

type nameRule struct {
	Pattern      string `json:"pattern"`
	Architecture string `json:"architecture"`

	compiled *regexp.Regexp
}

// knownArchitectures is architectures.yaml. Tests read it, so it cannot fail.
var knownArchitectures = sync.OnceValue(func() architectures {
	var a architectures
	mustRead("architectures.yaml", architecturesYAML, &a)
	for i := range a.Names {
		a.Names[i].compiled = regexp.MustCompile(a.Names[i].Pattern)
	}
	return a
})

// engineOrder is the order in which engines are named everywhere.
var engineOrder = []api.Engine{api.EngineVllm, api.EngineSglang, api.EngineTrtllm, api.EngineLlamacpp}

// Engines are those that run a model of one of these architectures from its own weights. GGUF files are llama.cpp's alone,
// and llama.cpp runs nothing else.
func Engines(names []string, gguf bool) []api.Engine {
	if gguf {
		return []api.Engine{api.EngineLlamacpp}
	}
	engines := []api.Engine{}
	for _, engine := range engineOrder {
		if engine != api.EngineLlamacpp && slices.ContainsFunc(names, func(name string) bool {
			return slices.Contains(knownArchitectures().Engines[name], engine)
		}) {
			engines = append(engines, engine)
		}
	}
	return engines
}

// KnowsArchitecture tells whether any engine runs it.
func KnowsArchitecture(name string) bool { return len(knownArchitectures().Engines[name]) > 0 }

// GuessArchitecture is what a model is built like by its name; empty where that tells nothing.
func GuessArchitecture(id string) string {
	name := strings.ToLower(baseName(id))
	for _, rule := range knownArchitectures().Names {
		if rule.compiled.MatchString(name) {
			return rule.Architecture
		}
	}
	return ""
}

// baseName is an id without its owner.
func baseName(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
