package view

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// fields are those that lists filter and sort by, decoded once when a document arrives.
type fields struct {
	Name       string    `json:"name"`
	Namespace  string    `json:"namespace"`
	Provider   string    `json:"provider"`
	Phase      string    `json:"phase"`
	Engine     string    `json:"engine"`
	ModelID    string    `json:"modelId"`
	Served     string    `json:"servedModelName"`
	Message    string    `json:"message"`
	Deployment string    `json:"deployment"` // of a pod: its deployment's id
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`

	search string // everything that a search looks at, in lower case
}

func decodeFields(e api.Entry) fields {
	var f fields
	if e.Deleted() {
		return f
	}
	switch e.Key.Kind {
	case api.KindDeployments, api.KindPods, api.KindNodes, api.KindRuntimes:
		// A document of a version that cannot be decoded is still listed, with empty fields.
		_ = json.Unmarshal(e.JSON, &f)
	}
	if e.Key.Kind == api.KindDeployments {
		f.search = strings.ToLower(strings.Join([]string{f.Name, f.Namespace, f.ModelID, f.Served, f.Message}, "\n"))
	}
	return f
}
