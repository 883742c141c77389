package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// GetGpuCapacityDetailed is the capacity document as it is.
func (s *Server) GetGpuCapacityDetailed(w http.ResponseWriter, r *http.Request, _ api.GetGpuCapacityDetailedParams) {
	s.list(w, r, "capacity", view.Query{Kind: api.KindCapacity}, func(_ []byte, page view.Page) ([]byte, error) {
		if page.Total == 0 {
			return nil, notSynced(api.KindCapacity, page.State)
		}
		return page.Documents[0], nil
	})
}

// GetGpuCapacity is the totals with the GPUs of each node.
func (s *Server) GetGpuCapacity(w http.ResponseWriter, r *http.Request, _ api.GetGpuCapacityParams) {
	s.list(w, r, "gpu-capacity", view.Query{Kind: api.KindNodes}, func(_ []byte, page view.Page) ([]byte, error) {
		document, err := s.only(api.CapacityKey())
		if err != nil {
			return nil, err
		}
		capacity := api.GpuCapacity{Nodes: []api.NodeGpus{}}
		if err := json.Unmarshal(document, &capacity); err != nil {
			return nil, fmt.Errorf("capacity: %w", err)
		}
		for _, document := range page.Documents {
			var node api.Node
			if err := json.Unmarshal(document, &node); err != nil {
				return nil, fmt.Errorf("node: %w", err)
			}
			if node.GpuCount > 0 {
				capacity.Nodes = append(capacity.Nodes, api.NodeGpus{
					NodeName: node.Name, TotalGpus: node.GpuCount, AllocatedGpus: node.AllocatedGpus, AvailableGpus: node.AvailableGpus,
				})
			}
		}
		return json.Marshal(capacity)
	}, api.KindCapacity)
}

// only returns the one document of its kind.
func (s *Server) only(key api.Key) ([]byte, error) {
	document, ok, err := s.view.Get(key)
	if ok || err != nil {
		return document, err
	}
	states, err := s.view.States(view.Scope{Kinds: []api.Kind{key.Kind}})
	if err != nil {
		return nil, err
	}
	return nil, notSynced(key.Kind, states[key.Kind])
}
