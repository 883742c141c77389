package models

import (
	_ "embed"
	"strconv"
	"sync"

	"github.com/kubefoundry/kubefoundry/api"
)

//go:embed catalogue.yaml
var catalogueYAML []byte

// Entry is a model of the catalogue.
type Entry struct {
	ID               string       `json:"id"`
	Premade          string       `json:"premade"` // of AIKit's images, where it is one
	Name             string       `json:"name"`
	Description      string       `json:"description"`
	Size             string       `json:"size"`
	Task             string       `json:"task"`
	ContextLength    int          `json:"contextLength"`
	Engines          []api.Engine `json:"engines"`
	MinGPUMemory     int          `json:"minGpuMemoryGb"`
	MinGPUs          int          `json:"minGpus"`
	Gated            bool         `json:"gated"`
	License          string       `json:"license"`
	Architecture     string       `json:"architecture"`
	Parameters       int64        `json:"parameters"`
	ActiveParameters int64        `json:"activeParameters"`
	Format           Format       `json:"format"`
	WeightBytes      int64        `json:"weightBytes"` // where they are not what follows from format
	Layers           int          `json:"layers"`
	AttentionHeads   int          `json:"attentionHeads"`
	KVHeads          int          `json:"kvHeads"`
	HeadDim          int          `json:"headDim"`
	SlidingWindow    bool         `json:"slidingWindow"`
}

// Catalogue is the models that are offered without asking anybody, in the order in which they are shown.
var Catalogue = sync.OnceValue(func() []Entry {
	var file struct {
		Models []Entry `json:"models"`
	}
	mustRead("catalogue.yaml", catalogueYAML, &file)
	return file.Models
})

// Find is the catalogue's entry of this id, nil where there is none.
func Find(id string) *Entry {
	all := Catalogue()
	for i := range all {
		if all[i].ID == id {
			return &all[i]
		}
	}
	return nil
}

// Premade is the catalogue's entry of one of AIKit's images, nil where there is none.
func Premade(id string) *Entry {
	all := Catalogue()
	for i := range all {
		if id != "" && all[i].Premade == id {
			return &all[i]
		}
	}
	return nil
}

// OnCPU tells that the model runs without a GPU.
func (e *Entry) OnCPU() bool { return e.MinGPUs == 0 }

// Shape is what the model's need of memory follows from. That of an image that runs on the CPU is not known.
func (e *Entry) Shape() Shape {
	if e.OnCPU() {
		return Shape{}
	}
	basis := api.MemoryEstimateBasisParameters
	if e.WeightBytes > 0 {
		basis = api.MemoryEstimateBasisFiles
	}
	return Shape{
		WeightBytes: e.WeightBytes, Basis: basis, Parameters: e.Parameters, Active: e.ActiveParameters, Format: e.Format, ContextLength: e.ContextLength,
		Layers: e.Layers, AttentionHeads: e.AttentionHeads, KVHeads: e.KVHeads, HeadDim: e.HeadDim, SlidingWindow: e.SlidingWindow,
	}
}

// Model is the entry as the API tells it.
func (e *Entry) Model() api.Model {
	m := api.Model{
		Id: e.ID, Name: e.Name, Description: e.Description, Size: e.Size, Task: e.Task, SupportedEngines: e.Engines,
		ContextLength: e.ContextLength, MinGpus: &e.MinGPUs, Gated: e.Gated, License: e.License, PremadeId: e.Premade,
		ParameterCount: e.Parameters, ActiveParameters: e.ActiveParameters, EstimatedGpuMemoryGb: e.Shape().BaseGiB(),
	}
	if e.Architecture != "" {
		m.Architectures = []string{e.Architecture}
	}
	if e.MinGPUMemory > 0 {
		m.MinGpuMemory = strconv.Itoa(e.MinGPUMemory) + "GB"
	}
	return m
}
