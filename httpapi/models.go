package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/huggingface"
	"github.com/kubefoundry/kubefoundry/internal/models"
	"github.com/kubefoundry/kubefoundry/view"
)

const modelsPath = "/api/models/"

// modelRoutes are the routes below modelsPath. None is a model's id on Hugging Face.
var modelRoutes = map[string]bool{"search": true, "info": true, "fit": true, "gguf-files": true}

// modelPaths lets a model's id stand in the path, as in /api/models/Qwen/Qwen3-8B and …/Qwen%2FQwen3-8B/gguf-files, which no
// template of a route can match: it asks the route that takes the id as a parameter. The slash may be escaped or not, for not
// everything on the way leaves it as it was.
func modelPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := strings.CutPrefix(r.URL.Path, modelsPath)
		if !ok || id == "" || modelRoutes[id] {
			next.ServeHTTP(w, r)
			return
		}
		route := "info"
		if of, ok := strings.CutSuffix(id, "/gguf-files"); ok {
			id, route = of, "gguf-files"
		}
		u := *r.URL
		u.Path, u.RawPath = modelsPath+route, ""
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += "id=" + url.QueryEscape(id)
		asked := new(http.Request)
		*asked = *r
		asked.URL = &u
		next.ServeHTTP(w, asked)
	})
}

// ListModels is the catalogue.
func (s *Server) ListModels(w http.ResponseWriter, _ *http.Request) {
	list := api.ModelList{Models: []api.Model{}}
	for _, entry := range models.Catalogue() {
		list.Models = append(list.Models, entry.Model())
	}
	writeJSON(w, http.StatusOK, list)
}

// SearchModels asks Hugging Face for models.
func (s *Server) SearchModels(w http.ResponseWriter, r *http.Request, p api.SearchModelsParams) {
	hub, err := s.hub()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if p.Limit == 0 {
		p.Limit = 20
	}
	found, err := hub.Search(r.Context(), huggingface.Query{
		Words: p.Q, Limit: p.Limit, Offset: p.Offset, IncludeIncompatible: p.IncludeIncompatible, Token: hubToken(r, p.XHFToken),
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, found)
}

// GetModelInfo is one model, of the catalogue or of Hugging Face.
func (s *Server) GetModelInfo(w http.ResponseWriter, r *http.Request, p api.GetModelInfoParams) {
	info, _, err := s.model(r, p.Id, "", hubToken(r, p.XHFToken))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, info)
}

// ListGgufFiles is the GGUF files of a model.
func (s *Server) ListGgufFiles(w http.ResponseWriter, r *http.Request, p api.ListGgufFilesParams) {
	hub, err := s.hub()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	m, err := hub.Model(r.Context(), p.Id, hubToken(r, p.XHFToken))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.GgufFiles{Files: m.Names, Details: m.Files})
}

// GetModelFit tells on how many GPUs of which kind a model fits.
func (s *Server) GetModelFit(w http.ResponseWriter, r *http.Request, p api.GetModelFitParams) {
	_, shape, err := s.model(r, p.Model, p.File, hubToken(r, p.XHFToken))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	fit := api.ModelFit{
		Model: p.Model, Memory: shape.Memory(p.ContextLength, p.Sequences), AttentionHeads: shape.AttentionHeads,
		Cluster: []api.ClusterFit{}, Products: []api.ProductFit{},
	}
	if entry := models.Find(p.Model); entry != nil && entry.OnCPU() {
		fit.Memory.Notes = []string{onCPU}
		writeJSON(w, http.StatusOK, fit)
		return
	}
	groups, access, err := s.gpuGroups(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	fit.Access = access
	for _, group := range groups {
		fit.Cluster = append(fit.Cluster, shape.In(group, fit.Memory))
	}
	for _, product := range models.Products() {
		fit.Products = append(fit.Products, shape.On(product, fit.Memory))
	}
	writeJSON(w, http.StatusOK, fit)
}

const onCPU = "the image runs on the CPU and needs no GPU"

// model is what is known of one: without Hugging Face where it is in the catalogue.
func (s *Server) model(r *http.Request, id, file, token string) (api.ModelInfo, models.Shape, error) {
	if entry := models.Find(id); entry != nil {
		if file != "" {
			return api.ModelInfo{}, models.Shape{}, invalidParameter("file", "must be left out for a model of the catalogue")
		}
		return catalogued(entry), entry.Shape(), nil
	}
	hub, err := s.hub()
	if err != nil {
		return api.ModelInfo{}, models.Shape{}, err
	}
	m, err := hub.Model(r.Context(), id, token)
	if err != nil {
		return api.ModelInfo{}, models.Shape{}, err
	}
	shape, ok := m.ShapeOf(file)
	if !ok && file != "" {
		return api.ModelInfo{}, models.Shape{}, api.Errorf(api.ErrorCodeNotFound, "%s has no file %.200s", id, file)
	}
	info := m.Info
	info.Memory = shape.Memory(0, 1)
	return info, shape, nil
}

// catalogued is an entry of the catalogue with what follows from it.
func catalogued(entry *models.Entry) api.ModelInfo {
	m := entry.Model()
	info := api.ModelInfo{
		Id: m.Id, Name: m.Name, Description: m.Description, Size: m.Size, Task: m.Task, SupportedEngines: m.SupportedEngines, ContextLength: m.ContextLength,
		MinGpuMemory: m.MinGpuMemory, MinGpus: m.MinGpus, Gated: m.Gated, License: m.License, PremadeId: m.PremadeId, ParameterCount: m.ParameterCount,
		ActiveParameters: m.ActiveParameters, Architectures: m.Architectures, EstimatedGpuMemoryGb: m.EstimatedGpuMemoryGb,
		Source: api.ModelInfoSourceCatalogue, Compatible: true, Memory: entry.Shape().Memory(0, 1),
	}
	if entry.OnCPU() {
		info.Memory.Notes = []string{onCPU}
		return info
	}
	info.Author, _, _ = strings.Cut(m.Id, "/")
	info.Url = huggingface.DefaultBaseURL + "/" + m.Id
	return info
}

// gpuGroups is the cluster's GPUs by product. Whoever may not see nodes gets their sums, as one group.
func (s *Server) gpuGroups(r *http.Request) ([]models.Group, *api.Access, error) {
	page, err := s.view.List(view.Query{Kind: api.KindNodes, Sight: sight(r)})
	if err != nil {
		return nil, nil, err
	}
	if unknown(page) {
		return nil, nil, notSynced(api.KindNodes, page.State)
	}
	if page.State.Access == nil {
		nodes := make([]api.Node, len(page.Documents))
		for i, document := range page.Documents {
			if err := json.Unmarshal(document, &nodes[i]); err != nil {
				return nil, nil, fmt.Errorf("node: %w", err)
			}
		}
		return models.Groups(nodes), nil, nil
	}
	var totals api.GpuTotals
	if err := s.total(&totals, r); err != nil {
		return nil, nil, err
	}
	if totals.TotalGpus == 0 {
		return nil, page.State.Access, nil
	}
	return []models.Group{{
		Product: models.Product{MemoryGb: totals.TotalMemoryGb}, Total: totals.TotalGpus, Available: totals.AvailableGpus,
		MaxNode: totals.MaxNodeGpuCapacity, MaxNodeAvailable: totals.MaxContiguousAvailable,
	}}, page.State.Access, nil
}
