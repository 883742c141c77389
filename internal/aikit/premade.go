package aikit

import (
	_ "embed"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/models"
)

// Repository has AIKit's images with a model in them, by tag.
const Repository = "ghcr.io/kaito-project/aikit/"

//go:embed premade.yaml
var premadeYAML []byte

// Premade is AIKit's ready images.
var Premade = sync.OnceValue(func() []api.AikitModel {
	var all []struct{ ID, ModelName string }
	if err := yaml.UnmarshalStrict(premadeYAML, &all); err != nil {
		panic("premade.yaml: " + err.Error()) // it is part of the program, and a test reads it
	}
	list := make([]api.AikitModel, 0, len(all))
	for _, one := range all {
		m := api.AikitModel{Id: one.ID, Name: one.ModelName, Image: Repository + one.ID, ModelName: one.ModelName, ComputeType: "cpu"}
		if e := models.Premade(one.ID); e != nil {
			m.Name, m.Size, m.License, m.Description = e.Name, e.Size, e.License, e.Description
		}
		list = append(list, m)
	}
	return list
})

// FindPremade is the ready image of this id. Dashes are taken for colons: clients make ids of names in which there are no colons.
func FindPremade(id string) (api.AikitModel, bool) {
	plain := func(id string) string { return strings.ReplaceAll(id, ":", "-") }
	for _, one := range Premade() {
		if one.Id == id || plain(one.Id) == plain(id) {
			return one, true
		}
	}
	return api.AikitModel{}, false
}
