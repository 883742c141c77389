package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/kubefoundry/kubefoundry/api"
)

// GetAutoscalerDetection tells what scales the nodes.
func (s *Server) GetAutoscalerDetection(w http.ResponseWriter, r *http.Request) {
	autoscaler, err := s.autoscaler(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBytes(w, http.StatusOK, autoscaler.Detection)
}

// GetAutoscalerStatus is what the cluster autoscaler says of itself.
func (s *Server) GetAutoscalerStatus(w http.ResponseWriter, r *http.Request) {
	autoscaler, err := s.autoscaler(r)
	if err == nil && autoscaler.Status == nil {
		err = api.Errorf(api.ErrorCodeNotFound,
			"Autoscaler status not available: the cluster has no readable ConfigMap cluster-autoscaler-status in kube-system")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBytes(w, http.StatusOK, autoscaler.Status)
}

type autoscalerParts struct {
	Detection json.RawMessage `json:"detection"`
	Status    json.RawMessage `json:"status"`
}

func (s *Server) autoscaler(r *http.Request) (autoscalerParts, error) {
	var parts autoscalerParts
	document, err := s.only(api.AutoscalerKey(), sight(r))
	if err == nil {
		err = json.Unmarshal(document, &parts)
	}
	return parts, err
}
