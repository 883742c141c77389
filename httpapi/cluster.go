package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// GetClusterStatus tells whether the Kubernetes API answers. It is 200 in any case: the answer is in the body.
func (s *Server) GetClusterStatus(w http.ResponseWriter, r *http.Request) {
	status := api.ClusterStatus{Namespace: s.namespace, ClusterName: s.clusterName}
	cluster, err := s.view.Cluster()
	if err != nil {
		status.Error = err.Error()
		writeJSON(w, http.StatusOK, status)
		return
	}
	status.Connected, status.Error, status.Since, status.KubernetesVersion = cluster.Connected, cluster.Error, cluster.Since, cluster.KubernetesVersion
	runtimes, err := s.runtimes(sight(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if status.Connected && len(runtimes) > 0 {
		chosen := runtimes[max(slices.IndexFunc(runtimes, func(r api.Runtime) bool { return r.Installed }), 0)]
		status.Provider = &api.ProviderRef{Id: chosen.Id, Name: chosen.Name}
		status.ProviderInstallation = &api.ProviderInstallation{
			Installed: chosen.Installed, CrdFound: chosen.Installed, OperatorRunning: chosen.Healthy, Message: chosen.Message,
		}
	}
	writeJSON(w, http.StatusOK, status)
}

// GetHealthStatus is GetClusterStatus under its other path.
func (s *Server) GetHealthStatus(w http.ResponseWriter, r *http.Request) { s.GetClusterStatus(w, r) }

func (s *Server) runtimes(sight *api.Sight) ([]api.Runtime, error) {
	page, err := s.view.List(view.Query{Kind: api.KindRuntimes, Sight: sight})
	if err != nil {
		return nil, err
	}
	runtimes := make([]api.Runtime, len(page.Documents))
	for i, document := range page.Documents {
		if err := json.Unmarshal(document, &runtimes[i]); err != nil {
			return nil, err
		}
	}
	return runtimes, nil
}

// ListRuntimes is every runtime that KubeFoundry knows.
func (s *Server) ListRuntimes(w http.ResponseWriter, r *http.Request, _ api.ListRuntimesParams) {
	s.list(w, r, "runtimes", view.Query{Kind: api.KindRuntimes}, func(b []byte, page view.Page) ([]byte, error) {
		return appendState(appendDocuments(append(b, '{'), "runtimes", page.Documents), page), nil
	})
}

// ListNodes is the nodes with their GPUs.
func (s *Server) ListNodes(w http.ResponseWriter, r *http.Request, p api.ListNodesParams) {
	shape := "nodes"
	if p.IncludeCordoned {
		shape = "all nodes"
	}
	s.list(w, r, shape, view.Query{Kind: api.KindNodes}, func(b []byte, page view.Page) ([]byte, error) {
		documents := page.Documents
		if !p.IncludeCordoned {
			documents = make([][]byte, 0, len(page.Documents))
			for _, document := range page.Documents {
				var node struct{ Schedulable bool }
				if json.Unmarshal(document, &node) == nil && node.Schedulable {
					documents = append(documents, document)
				}
			}
		}
		return appendState(appendDocuments(append(b, '{'), "nodes", documents), page), nil
	})
}

// GetHealthNodes is ListNodes under its other path.
func (s *Server) GetHealthNodes(w http.ResponseWriter, r *http.Request, p api.GetHealthNodesParams) {
	s.ListNodes(w, r, api.ListNodesParams(p))
}
