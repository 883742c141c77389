package tenancy

import (
	"maps"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

// Prices are everybody's; what they are multiplied by is the nodes', and shown to those who may see them.
func init() {
	maps.Copy(answers, map[string]func(*testing.T, asking){
		"GET /api/costs/node-pools": func(t *testing.T, a asking) {
			got := read[api.NodePoolCosts](t, a.get(t, "/api/costs/node-pools?realtime=false"))
			require.Equal(t, a.sees.nodes == nil, len(got.NodePoolCosts) == 0)
			limited(t, got.Access, a.sees.nodes != nil, nil, "list nodes")
		},
		"GET /api/costs/gpu-models":              open,
		"GET /api/aiconfigurator/status":         open,
		"GET /api/costs/instance-price":          incomplete(http.MethodGet, "/api/costs/instance-price"),
		"GET /api/costs/normalize-gpu":           incomplete(http.MethodGet, "/api/costs/normalize-gpu"),
		"POST /api/costs/estimate":               incomplete(http.MethodPost, "/api/costs/estimate"),
		"POST /api/aiconfigurator/analyze":       incomplete(http.MethodPost, "/api/aiconfigurator/analyze"),
		"POST /api/aiconfigurator/normalize-gpu": incomplete(http.MethodPost, "/api/aiconfigurator/normalize-gpu"),
	})
}
