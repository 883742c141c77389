package kuberay

import (
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

// serveConfig is what spec.serveConfigV2, a YAML text, tells of the models.
type serveConfig struct {
	models, names []string
	disaggregated bool
}

// readServeConfig reads every application: those of Ray Serve LLM in full, of others what their environment tells. Text that
// is no YAML tells nothing.
func readServeConfig(text string) serveConfig {
	var c serveConfig
	if strings.TrimSpace(text) == "" {
		return c
	}
	var root map[string]any
	if yaml.Unmarshal([]byte(text), &root) != nil {
		return c
	}
	for _, app := range field.Maps(root, "applications") {
		args := field.Map(app, "args")
		before := len(c.models)
		for _, model := range field.Maps(args, "llm_configs") {
			c.add(model)
		}
		prefill, decode := field.Map(args, "prefill_config"), field.Map(args, "decode_config")
		if prefill != nil || decode != nil || strings.Contains(field.Text(app, "import_path"), "build_pd_openai_app") {
			c.disaggregated = true
			c.add(prefill)
			c.add(decode)
		}
		if len(c.models) == before {
			c.addOther(app, args)
		}
	}
	return c
}

// add notes one LLMConfig.
func (c *serveConfig) add(model map[string]any) {
	if model == nil {
		return
	}
	id := field.Text(model, "model_loading_config", "model_id")
	source := field.Text(model, "model_loading_config", "model_source")
	if source == "" {
		source = field.Text(model, "model_loading_config", "model_source", "bucket_uri")
	}
	if source == "" {
		source = id
	}
	c.models = appendOnce(c.models, source)
	c.names = appendOnce(c.names, id)
}

// addOther looks at an application that is not Ray Serve LLM's: most take the model's name from the environment or an
// argument.
func (c *serveConfig) addOther(app, args map[string]any) {
	env := field.Map(app, "runtime_env", "env_vars")
	for _, known := range []string{
		field.Text(args, "model"), field.Text(args, "model_id"), field.Text(env, "MODEL_ID"), field.Text(env, "MODEL"),
		field.Text(env, "MODEL_NAME"), field.Text(app, "import_path"),
	} {
		if known != "" {
			c.models = appendOnce(c.models, known)
			break
		}
	}
}

func (c *serveConfig) model() string  { return strings.Join(c.models, ", ") }
func (c *serveConfig) served() string { return strings.Join(c.names, ", ") }

func appendOnce(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
