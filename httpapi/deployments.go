package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/view"
)

// ListDeployments is every deployment, filtered, ordered and paged.
func (s *Server) ListDeployments(w http.ResponseWriter, r *http.Request, p api.ListDeploymentsParams) {
	q := view.Query{
		Kind: api.KindDeployments, Namespace: p.Namespace, Runtime: p.Runtime, Phase: string(p.Phase), Engine: string(p.Engine),
		Search: p.Q, Sort: view.Sort(p.Sort), Limit: p.Limit, Offset: p.Offset,
	}
	if q.Sort == "" {
		q.Sort = view.SortCreatedAt
	}
	q.Descending = p.Order == api.ListDeploymentsParamsOrderDesc ||
		p.Order == "" && (q.Sort == view.SortCreatedAt || q.Sort == view.SortUpdatedAt)
	s.list(w, r, "deployments", q, func(b []byte, page view.Page) ([]byte, error) {
		b = appendDocuments(append(b, '{'), "deployments", page.Documents)
		limit := q.Limit
		if limit == 0 {
			limit = page.Total
		}
		b = strconv.AppendInt(append(b, `,"pagination":{"total":`...), int64(page.Total), 10)
		b = strconv.AppendInt(append(b, `,"limit":`...), int64(limit), 10)
		b = strconv.AppendInt(append(b, `,"offset":`...), int64(q.Offset), 10)
		b = strconv.AppendBool(append(b, `,"hasMore":`...), q.Offset+len(page.Documents) < page.Total)
		return appendState(append(b, '}'), page), nil
	})
}

// GetDeployment is one deployment.
func (s *Server) GetDeployment(w http.ResponseWriter, r *http.Request, name api.Name, p api.GetDeploymentParams) {
	document, err := s.deployment(r, name, p.Namespace, p.Runtime)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBytes(w, http.StatusOK, document)
}

// ListDeploymentPods is the pods of one deployment.
func (s *Server) ListDeploymentPods(w http.ResponseWriter, r *http.Request, name api.Name, p api.ListDeploymentPodsParams) {
	id, err := s.deploymentID(r, name, p.Namespace, p.Runtime)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page, err := s.view.List(view.Query{Kind: api.KindPods, Sight: sight(r), Deployment: id})
	if err == nil && unknown(page) {
		err = notSynced(api.KindPods, page.State)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBytes(w, http.StatusOK, append(appendDocuments([]byte{'{'}, "pods", page.Documents), '}'))
}

// GetPendingReasons is why one deployment is not running.
func (s *Server) GetPendingReasons(w http.ResponseWriter, r *http.Request, name api.Name, p api.GetPendingReasonsParams) {
	document, err := s.deployment(r, name, p.Namespace, p.Runtime)
	var d struct {
		Reasons json.RawMessage `json:"reasons"`
	}
	if err == nil {
		err = json.Unmarshal(document, &d)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, d)
}

func (s *Server) deploymentID(r *http.Request, name, namespace, runtime string) (string, error) {
	document, err := s.deployment(r, name, namespace, runtime)
	if err != nil {
		return "", err
	}
	var d struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return "", fmt.Errorf("deployment %s: %w", name, err)
	}
	return d.ID, nil
}

// deployment finds the one that is meant, among those that the caller may see. Names are unique only within a namespace and a
// runtime.
func (s *Server) deployment(r *http.Request, name, namespace, runtime string) ([]byte, error) {
	if namespace != "" && runtime != "" {
		document, ok, err := s.view.Get(api.DeploymentKey(namespace, runtime, name), sight(r))
		if ok || err != nil {
			return document, err
		}
	}
	page, err := s.view.List(view.Query{Kind: api.KindDeployments, Sight: sight(r), Name: name, Namespace: namespace, Runtime: runtime})
	switch {
	case err != nil:
		return nil, err
	case page.Total == 1:
		return page.Documents[0], nil
	case unknown(page):
		return nil, notSynced(api.KindDeployments, page.State)
	case page.Total == 0:
		what, where := name, "any namespace"
		if runtime != "" {
			what += " of runtime " + runtime
		}
		if namespace != "" {
			where = "namespace " + namespace
		}
		e := api.Errorf(api.ErrorCodeNotFound, "Deployment %s not found in %s", what, where)
		if page.State.Access != nil { // the same for what is not there and for what is hidden
			e.Message += ". " + page.State.Access.Message
		}
		return nil, e
	}
	e := api.Errorf(api.ErrorCodeAmbiguous, "%d deployments are named %s; say which one with ?namespace= and ?runtime=", page.Total, name)
	for _, document := range page.Documents[:min(len(page.Documents), 20)] {
		var d struct{ Namespace, Provider string }
		if json.Unmarshal(document, &d) == nil {
			e.Details = append(e.Details, api.ErrorDetail{Field: "name", Message: "namespace=" + d.Namespace + "&runtime=" + d.Provider})
		}
	}
	return nil, e
}
