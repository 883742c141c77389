package kuberay

import (
	"encoding/json"

	yaml "sigs.k8s.io/yaml/goyaml.v2"
)

// marshal writes a value as YAML, by its JSON tags. It is what sigs.k8s.io/yaml does, but for the way from JSON to YAML: that
// leads there through a YAML parser, which refuses JSON's control characters.
func marshal(value any) (string, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	var plain any
	if err := json.Unmarshal(b, &plain); err != nil {
		return "", err
	}
	text, err := yaml.Marshal(whole(plain))
	return string(text), err
}

// whole turns numbers without a fraction back into whole ones: YAML would write large ones with an exponent.
func whole(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name := range value {
			value[name] = whole(value[name])
		}
	case []any:
		for i := range value {
			value[i] = whole(value[i])
		}
	case float64:
		if n := int64(value); float64(n) == value {
			return n
		}
	}
	return value
}
