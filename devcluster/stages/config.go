package stages

import (
	"bytes"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// WriteConfig writes all stages to path, for KWOK's flag --config.
func WriteConfig(path string) error {
	var out bytes.Buffer
	for _, s := range append(Nodes(), Pods()...) {
		data, err := yaml.Marshal(s)
		if err != nil {
			return fmt.Errorf("stage %s: %w", s.Name, err)
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("stages: %w", err)
	}
	return nil
}
