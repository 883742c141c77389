package httpapi

import (
	"net/http"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/aiconfigurator"
	products "github.com/kubefoundry/kubefoundry/internal/gpus"
	"github.com/kubefoundry/kubefoundry/internal/huggingface"
	"github.com/kubefoundry/kubefoundry/internal/models"
)

// GetAiConfiguratorStatus tells where suggestions are from.
func (s *Server) GetAiConfiguratorStatus(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, s.configurator.Status(r.Context()))
}

// AnalyzeModel suggests how to run a model.
func (s *Server) AnalyzeModel(w http.ResponseWriter, r *http.Request, p api.AnalyzeModelParams) {
	var q api.AiAnalysisRequest
	if err := readBody(r, &q); err != nil {
		s.fail(w, r, err)
		return
	}
	token := hubToken(r, p.XHFToken)
	if err := huggingface.CheckToken(token); err != nil {
		s.fail(w, r, err)
		return
	}
	question := aiconfigurator.Question{
		Model: q.ModelId, GPU: q.GpuType, MemoryGb: products.Memory(q.GpuType), GPUs: q.GpuCount, ContextLength: q.ContextLength,
		Latency: q.OptimizeFor == api.AiAnalysisRequestOptimizeForLatency, MaxLatencyMs: q.MaxLatencyMs, Token: token,
	}
	var note string
	question.Shape, question.Engines, note = s.shapeToRun(r, q.ModelId, token)
	answer := s.configurator.Analyze(r.Context(), question)
	if note != "" && answer.Source == api.AiSourceAnalytic {
		answer.Warnings = append(answer.Warnings, note)
	}
	writeJSON(w, http.StatusOK, answer)
}

// shapeToRun is the size of a model by all that can be asked: the catalogue, Hugging Face, and in the end its name.
func (s *Server) shapeToRun(r *http.Request, id, token string) (shape models.Shape, engines []api.Engine, note string) {
	info, shape, err := s.model(r, id, "", token)
	if err == nil {
		if weights, _ := shape.Weights(); weights > 0 {
			return shape, info.SupportedEngines, ""
		}
		engines = info.SupportedEngines
	}
	named := models.SizeFromName(id)
	shape = models.Shape{Parameters: named.Total, Active: named.Active, Basis: api.MemoryEstimateBasisName, RoughSize: named.Rough, Format: models.FormatFromName(id)}
	if named.Total == 0 {
		return models.Shape{}, engines, ""
	}
	note = "The model's size is read from its name."
	if err != nil {
		note += " More could not be found out about it."
	}
	return shape, engines, note
}
