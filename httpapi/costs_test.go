package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
)

// post asks with a body, and holds the answer against the document.
func (c *cluster) post(t *testing.T, path, body string, into any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	for _, o := range documentedOperations(c.server.document) {
		if o.path == path && o.method == http.MethodPost {
			c.check(t, o, path, answer{status: response.StatusCode, header: response.Header, body: string(text)})
		}
	}
	require.NoError(t, json.Unmarshal(text, into))
	return response.StatusCode
}

func nodePools(t *testing.T, c *cluster, query string) api.NodePoolCosts {
	t.Helper()
	a := c.get("/api/costs/node-pools" + query)
	require.Equal(t, http.StatusOK, a.status, a.body)
	for _, o := range documentedOperations(c.server.document) {
		if o.OperationID == "getNodePoolCosts" {
			c.check(t, o, "/api/costs/node-pools"+query, a)
		}
	}
	var got api.NodePoolCosts
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	return got
}

func TestCostsOfNodePools(t *testing.T) {
	c := serve(t).fill()
	c.put(api.NodePools{NodePools: []api.NodePool{
		{Name: "a10g", GpuCount: 8, NodeCount: 2, AvailableGpus: 3, GpuModel: "NVIDIA-A10G", InstanceType: "g5.12xlarge", Region: "us-east-1"},
		{Name: "metal", GpuCount: 8, NodeCount: 1, AvailableGpus: 8, GpuModel: "NVIDIA-B200"},
		{Name: "system", NodeCount: 3, InstanceType: "m5.large", Region: "us-east-1"},
	}})
	got := nodePools(t, c, "?gpuCount=2&replicas=3&computeType=gpu")
	require.Len(t, got.NodePoolCosts, 2)
	priced, unpriced := got.NodePoolCosts[0], got.NodePoolCosts[1]
	require.InDelta(t, 5.672*6/4, *priced.CostBreakdown.Estimate.Hourly, 1e-4)
	require.InDelta(t, 5.672*6/4, priced.RealtimePricing.HourlyPrice, 1e-4)
	require.Equal(t, api.CostSource("price-table"), priced.CostBreakdown.Estimate.Source)
	require.Equal(t, "A10G", priced.CostBreakdown.NormalizedGpuModel)
	require.Nil(t, unpriced.CostBreakdown.Estimate.Hourly)
	require.Nil(t, unpriced.RealtimePricing)
	require.Equal(t, api.CostSource("unknown"), unpriced.CostBreakdown.Estimate.Source)
	require.NotEmpty(t, unpriced.CostBreakdown.Notes)

	cpu := nodePools(t, c, "?computeType=cpu&replicas=2&gpuCount=0")
	require.Len(t, cpu.NodePoolCosts, 1)
	require.Equal(t, "CPU", cpu.NodePoolCosts[0].GpuModel)
	require.InDelta(t, 0.192, *cpu.NodePoolCosts[0].CostBreakdown.Estimate.Hourly, 1e-9)

	e := c.get("/api/costs/node-pools?gpuCount=abc&replicas=-1&computeType=tpu").failure(t)
	require.Equal(t, api.ErrorCodeInvalidRequest, e.Code)
	require.Len(t, e.Details, 3)
}

func TestPricesAndNames(t *testing.T) {
	c := serve(t).fill()
	for target, want := range map[string]int{
		"/api/costs/instance-price?instanceType=g5.xlarge":                     http.StatusOK,
		"/api/costs/instance-price?instanceType=p99.huge":                      http.StatusNotFound,
		"/api/costs/instance-price?instanceType=bare-metal":                    http.StatusBadRequest,
		"/api/costs/instance-price?instanceType=g5.xlarge&region=a%27%20or%20": http.StatusBadRequest,
		"/api/costs/instance-price":                                            http.StatusBadRequest,
		"/api/costs/normalize-gpu?label=Radeon":                                http.StatusOK,
		"/api/costs/gpu-models":                                                http.StatusOK,
		"/api/aiconfigurator/status":                                           http.StatusOK,
	} {
		require.Equal(t, want, c.get(target).status, target)
	}
	require.Contains(t, c.get("/api/costs/normalize-gpu?label=Radeon").body, `"gpuInfo":null`)
	require.Contains(t, c.get("/api/costs/normalize-gpu?label=NVIDIA-GB200").body, `"normalizedModel":"GB200"`)

	var estimated api.CostEstimated
	require.Equal(t, http.StatusOK, c.post(t, "/api/costs/estimate", `{"gpuType":"Tesla-T4","gpuCount":2,"replicas":1}`, &estimated))
	require.Positive(t, *estimated.Breakdown.Estimate.Hourly)
	var failed api.ErrorBody
	require.Equal(t, http.StatusBadRequest, c.post(t, "/api/costs/estimate", `{"gpuType":"","gpuCount":0,"replicas":"x"}`, &failed))
	require.Len(t, failed.Error.Details, 3)
	var meaning api.GpuProductMeaning
	require.Equal(t, http.StatusOK, c.post(t, "/api/aiconfigurator/normalize-gpu", `{"gpuProduct":"NVIDIA-L40S"}`, &meaning))
	require.Equal(t, api.GpuProductMeaning{GpuProduct: "NVIDIA-L40S", Normalized: "L40S", Known: true}, meaning)
}

// TestSuggestionsSayWhatTheyAre: neither NVIDIA's command nor Hugging Face is there.
func TestSuggestionsSayWhatTheyAre(t *testing.T) {
	c := serve(t).fill()
	var got api.AiAnalysis
	require.Equal(t, http.StatusOK, c.post(t, "/api/aiconfigurator/analyze", `{"modelId":"Qwen/Qwen3-0.6B","gpuType":"A100-80GB","gpuCount":4,"optimizeFor":"throughput"}`, &got))
	require.True(t, got.Success, got.Error)
	require.Equal(t, 1, got.Config.TensorParallelDegree)
	require.Equal(t, 4, got.Replicas)
	require.Equal(t, api.AiSourceAnalytic, got.Source)

	require.Equal(t, http.StatusOK, c.post(t, "/api/aiconfigurator/analyze", `{"modelId":"some.body/model-70B-v1.5","gpuType":"A100-80GB","gpuCount":8}`, &got))
	require.Contains(t, strings.Join(got.Warnings, " "), "read from its name")
	require.Equal(t, http.StatusOK, c.post(t, "/api/aiconfigurator/analyze", `{"modelId":"some/thing","gpuType":"A100-80GB","gpuCount":8}`, &got))
	require.False(t, got.Success)
	require.Contains(t, got.Error, "nothing tells how large some/thing is")
	var failed api.ErrorBody
	require.Equal(t, http.StatusBadRequest, c.post(t, "/api/aiconfigurator/analyze", `{"modelId":"","gpuCount":0,"optimizeFor":"fun"}`, &failed))
	require.Len(t, failed.Error.Details, 4)
}
