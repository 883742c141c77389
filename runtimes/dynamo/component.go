package dynamo

import (
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/cmdline"
	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// component is a service of v1alpha1 or a component of v1beta1.
type component struct {
	name, role       string
	replicas         int
	gpus             int // of one replica, over all its nodes
	ready, available int
	spec             map[string]any
	image            string
	line             cmdline.Line
}

// readComponents returns the components in the order of their names.
func readComponents(obj map[string]any) []component {
	spec := field.Map(obj, "spec")
	var components []component
	for _, m := range field.Maps(spec, "components") {
		if field.Text(m, "name") != "" {
			components = append(components, betaComponent(spec, m))
		}
	}
	services := field.Map(spec, "services")
	if services == nil && components == nil {
		services = legacyServices(spec)
	}
	for name := range services {
		if m := field.Map(services, name); m != nil && name != "" {
			components = append(components, alphaComponent(spec, name, m))
		}
	}
	slices.SortStableFunc(components, func(a, b component) int { return strings.Compare(a.name, b.name) })
	return components
}

// legacyServices finds services that stand directly under spec, as the first releases had them.
func legacyServices(spec map[string]any) map[string]any {
	services := make(map[string]any)
	for name, value := range spec {
		m, ok := value.(map[string]any)
		if !ok {
			continue
		}
		for _, sign := range []string{"extraPodSpec", "componentType", "dynamoNamespace"} {
			if _, ok := m[sign]; ok {
				services[name] = m
			}
		}
	}
	return services
}

func alphaComponent(spec map[string]any, name string, m map[string]any) component {
	main := field.Map(m, "extraPodSpec", "mainContainer")
	gpus, ok := alphaGPUs(m)
	if !ok {
		gpus = runtimes.TemplateGPUs(map[string]any{
			"containers":     append([]any{any(main)}, field.List(m, "extraPodSpec", "containers")...),
			"initContainers": field.At(m, "extraPodSpec", "initContainers"),
		})
	}
	c := newComponent(name, field.Text(m, "componentType"), field.Text(m, "subComponentType"), m, gpus)
	c.read(main, field.Maps(spec, "envs"), field.Maps(m, "envs"))
	return c
}

// alphaGPUs reads Dynamo's own resources, in which a GPU is called `gpu`.
func alphaGPUs(m map[string]any) (int, bool) {
	for _, kind := range [2]string{"limits", "requests"} {
		for _, path := range [][]string{{"gpu"}, {"custom", "nvidia.com/gpu"}} {
			if n, ok := field.Quantity(m, append([]string{"resources", kind}, path...)...); ok {
				return n, true
			}
		}
	}
	return 0, false
}

func betaComponent(spec, m map[string]any) component {
	podSpec := field.Map(m, "podTemplate", "spec")
	c := newComponent(field.Text(m, "name"), field.Text(m, "type"), "", m, runtimes.TemplateGPUs(podSpec))
	for _, container := range field.Maps(podSpec, "containers") {
		if field.Text(container, "name") == "main" {
			c.read(container, field.Maps(spec, "env"))
		}
	}
	return c
}

func newComponent(name, kind, sub string, m map[string]any, gpus int) component {
	c := component{name: name, role: role(kind, sub, name), replicas: 1, gpus: gpus, spec: m}
	if n, ok := field.Int(m, "replicas"); ok {
		c.replicas = n
	}
	if nodes, ok := field.Int(m, "multinode", "nodeCount"); ok && nodes > 1 {
		c.gpus = min(c.gpus*nodes, field.Max)
	}
	return c
}

// read takes the main container's image and command.
func (c *component) read(main map[string]any, env ...[]map[string]any) {
	c.image = field.Text(main, "image")
	c.line = cmdline.New(field.Texts(main, "command"), field.Texts(main, "args"), runtimes.Env(main, env...))
}

// role is what a component does. The type says it since it exists; before, and for workers of a disaggregated deployment
// under v1alpha1, the name does.
func role(kind, sub, name string) string {
	kind, sub, name = strings.ToLower(kind), strings.ToLower(sub), strings.ToLower(name)
	switch {
	case kind == "prefill" || sub == "prefill":
		return runtimes.RolePrefill
	case kind == "decode" || sub == "decode":
		return runtimes.RoleDecode
	case kind == "frontend" || kind == "main":
		return runtimes.RoleFrontend
	case kind != "" && kind != "worker" && kind != "default":
		return kind // planner, epp, …
	case strings.Contains(name, "prefill"):
		return runtimes.RolePrefill
	case strings.Contains(name, "decode"):
		return runtimes.RoleDecode
	case kind == "worker" || strings.Contains(name, "worker"):
		return runtimes.RoleWorker
	case strings.Contains(name, "frontend"):
		return runtimes.RoleFrontend
	}
	return name
}

// serves tells whether a component holds the model.
func (c *component) serves() bool {
	return c.role == runtimes.RoleWorker || c.role == runtimes.RolePrefill || c.role == runtimes.RoleDecode
}

// frontendName is the name of the frontend in Kubernetes, empty where there is none.
func frontendName(components []component) string {
	for i := range components {
		if components[i].role == runtimes.RoleFrontend {
			return strings.ToLower(components[i].name)
		}
	}
	return ""
}

// fillReady takes the ready replicas of each component from the status, and tells whether there are any: v1alpha1 keeps them
// under services, v1beta1 under components.
func fillReady(obj map[string]any, components []component) bool {
	counts := field.Map(obj, "status", "services")
	if counts == nil {
		counts = field.Map(obj, "status", "components")
	}
	found := false
	for i := range components {
		c := &components[i]
		m := field.Map(counts, c.name)
		if m == nil {
			continue
		}
		found = found || c.serves()
		ready, okReady := first(m, "readyReplicas", "ready")
		available, okAvailable := first(m, "availableReplicas", "available")
		if !okReady {
			ready = available // replicas of several pods are only ever counted as available
		}
		if !okAvailable {
			available = ready
		}
		c.ready, c.available = min(ready, c.replicas), min(available, c.replicas)
	}
	return found
}

// first returns the first of the numbers that is there; the second name is that of the first releases.
func first(m map[string]any, names ...string) (int, bool) {
	for _, name := range names {
		if n, ok := field.Int(m, name); ok {
			return n, true
		}
	}
	return 0, false
}

// engine is given for the whole graph, or else told from the workers' commands, images and names.
func engine(obj map[string]any, components []component) api.Engine {
	switch e := api.Engine(strings.ToLower(field.Text(obj, "spec", "backendFramework"))); e {
	case api.EngineVllm, api.EngineSglang, api.EngineTrtllm:
		return e
	}
	signs := []struct {
		engine api.Engine
		words  []string
	}{
		{api.EngineSglang, []string{"sglang"}},
		{api.EngineTrtllm, []string{"trtllm", "tensorrt"}},
		{api.EngineVllm, []string{"vllm"}},
	}
	for i := range components {
		c := &components[i]
		if !c.serves() {
			continue
		}
		told := strings.ToLower(c.line.Prefixed("dynamo.") + " " + c.name + " " + c.image)
		for _, sign := range signs {
			if slices.ContainsFunc(sign.words, func(word string) bool { return strings.Contains(told, word) }) {
				return sign.engine
			}
		}
	}
	return api.EngineVllm
}

// model finds what the workers serve, and under which name.
func model(components []component) (id, served string) {
	for i := range components {
		c := &components[i]
		if !c.serves() {
			continue
		}
		if id == "" {
			id = c.line.Flag("--model", "--model-path")
		}
		if served == "" {
			served = c.line.Flag("--served-model-name", "--model-name")
		}
	}
	for i := range components {
		if id == "" {
			id = field.Text(components[i].spec, "modelRef", "name")
		}
	}
	return id, served
}
