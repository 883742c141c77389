package crds

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed schema/*.yaml
var schemas embed.FS

// Definitions returns what a cluster gets: this project's definitions, each
// replaced by the published one if dir has it. An empty dir means ours alone.
// They are ordered by name.
func Definitions(dir string) ([]*apiextensions.CustomResourceDefinition, error) {
	own, err := read(schemas, "schema")
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*apiextensions.CustomResourceDefinition, len(own))
	for _, crd := range own {
		byName[crd.Name] = crd
	}
	if dir != "" {
		published, err := read(os.DirFS(dir), ".")
		if err != nil {
			return nil, err
		}
		if len(published) == 0 {
			return nil, fmt.Errorf("folder %s: no custom resource definitions in it", dir)
		}
		for _, crd := range published {
			byName[crd.Name] = crd
		}
	}
	all := make([]*apiextensions.CustomResourceDefinition, 0, len(byName))
	for _, name := range sortedKeys(byName) {
		all = append(all, byName[name])
	}
	return all, nil
}

// read parses the definitions in one folder. Files of another kind are skipped,
// since a folder of published files may hold more than these.
func read(from fs.FS, dir string) ([]*apiextensions.CustomResourceDefinition, error) {
	names, err := fs.Glob(from, filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	var found []*apiextensions.CustomResourceDefinition
	for _, name := range names {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("definition %s: %w", name, err)
		}
		crd := &apiextensions.CustomResourceDefinition{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			return nil, fmt.Errorf("definition %s: %w", name, err)
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		if crd.Name == "" {
			return nil, fmt.Errorf("definition %s: %w", name, errUnnamed)
		}
		found = append(found, crd)
	}
	return found, nil
}

var errUnnamed = errors.New("no metadata.name")

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
