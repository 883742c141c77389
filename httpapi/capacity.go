package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// GetGpuCapacityDetailed is the totals with the node pools.
func (s *Server) GetGpuCapacityDetailed(w http.ResponseWriter, r *http.Request, _ api.GetGpuCapacityDetailedParams) {
	s.list(w, r, "capacity", view.Query{Kind: api.KindPools}, func(_ []byte, page view.Page) ([]byte, error) {
		capacity := api.Capacity{NodePools: []api.NodePool{}, Access: page.State.Access}
		if err := s.total(&capacity, r); err != nil {
			return nil, err
		}
		if page.Total > 0 {
			if err := json.Unmarshal(page.Documents[0], &capacity); err != nil {
				return nil, fmt.Errorf("node pools: %w", err)
			}
		}
		return json.Marshal(capacity)
	}, api.KindCapacity)
}

// GetGpuCapacity is the totals with the GPUs of each node.
func (s *Server) GetGpuCapacity(w http.ResponseWriter, r *http.Request, _ api.GetGpuCapacityParams) {
	s.list(w, r, "gpu-capacity", view.Query{Kind: api.KindNodes}, func(_ []byte, page view.Page) ([]byte, error) {
		capacity := api.GpuCapacity{Nodes: []api.NodeGpus{}, Access: page.State.Access}
		if err := s.total(&capacity, r); err != nil {
			return nil, err
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

// total reads the GPU totals of the cluster into a capacity.
func (s *Server) total(capacity any, r *http.Request) error {
	document, err := s.only(api.CapacityKey(), sight(r))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(document, capacity); err != nil {
		return fmt.Errorf("capacity: %w", err)
	}
	return nil
}

// only returns the one document of its kind.
func (s *Server) only(key api.Key, sight *api.Sight) ([]byte, error) {
	document, ok, err := s.view.Get(key, sight)
	if ok || err != nil {
		return document, err
	}
	states, err := s.view.States(view.Scope{Kinds: []api.Kind{key.Kind}, Sight: sight})
	if err != nil {
		return nil, err
	}
	state := states[key.Kind]
	if state.Access != nil {
		return nil, api.Errorf(api.ErrorCodeForbidden, "%s", state.Access.Message)
	}
	return nil, notSynced(key.Kind, state)
}
