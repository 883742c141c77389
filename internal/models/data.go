package models

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// mustRead reads a file that is compiled in.
func mustRead(name string, content []byte, into any) {
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
}
