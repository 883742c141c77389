package httpapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/costs"
	products "github.com/kubefoundry/kubefoundry/internal/gpus"
	"github.com/kubefoundry/kubefoundry/view"
)

// EstimateCost is what GPUs of a kind cost.
func (s *Server) EstimateCost(w http.ResponseWriter, r *http.Request) {
	var q api.CostRequest
	if err := readBody(r, &q); err != nil {
		s.fail(w, r, err)
		return
	}
	ask := costs.Ask{GPUs: q.GpuCount, Replicas: q.Replicas, Hours: q.HoursPerMonth}
	writeJSON(w, http.StatusOK, api.CostEstimated{Success: true, Breakdown: costs.ForGPU(ask, q.GpuType)})
}

// GetNodePoolCosts is what a deployment would cost on each node pool that the caller may see.
func (s *Server) GetNodePoolCosts(w http.ResponseWriter, r *http.Request, p api.GetNodePoolCostsParams) {
	page, err := s.view.List(view.Query{Kind: api.KindPools, Sight: sight(r)})
	if err == nil && unknown(page) {
		err = notSynced(api.KindPools, page.State)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	given := r.URL.Query()
	ask := costs.Ask{GPUs: p.GpuCount, Replicas: p.Replicas}
	if !given.Has("gpuCount") {
		ask.GPUs = 1
	}
	if !given.Has("replicas") {
		ask.Replicas = 1
	}
	onCPU := p.ComputeType == api.GetNodePoolCostsParamsComputeTypeCpu
	if onCPU {
		ask.GPUs = 0
	}
	var pools api.NodePools
	if page.Total > 0 {
		if err := json.Unmarshal(page.Documents[0], &pools); err != nil {
			s.fail(w, r, fmt.Errorf("node pools: %w", err))
			return
		}
	}
	offline := given.Has("realtime") && !p.Realtime
	answer := api.NodePoolCosts{
		Success: true, NodePoolCosts: []api.NodePoolCost{}, PricingSource: api.NodePoolCostsPricingSourceStatic, Access: page.State.Access,
		CacheStats: api.CacheStats{Size: s.prices.Kept(), TtlMs: int(costs.Keep.Milliseconds()), MaxEntries: costs.MaxKept},
	}
	var questions []costs.Question
	var asked []api.NodePool
	for _, pool := range pools.NodePools {
		if onCPU != (pool.GpuCount == 0) {
			continue
		}
		product, _ := products.Find(pool.GpuModel)
		asked = append(asked, pool)
		questions = append(questions, costs.Question{
			InstanceType: pool.InstanceType, Region: pool.Region, GPU: product.Name, AttachedGPUs: gpusOfNode(pool), Offline: offline,
		})
	}
	prices, notes := s.prices.All(r.Context(), questions)
	for i, pool := range asked {
		cost := poolCost(ask, pool, prices[i], notes[i])
		if prices[i] != nil && prices[i].Source == costs.SourceAPI {
			answer.PricingSource = api.NodePoolCostsPricingSourceRealtimeWithFallback
		}
		answer.NodePoolCosts = append(answer.NodePoolCosts, cost)
	}
	writeJSON(w, http.StatusOK, answer)
}

// gpusOfNode is how many GPUs a node of a pool has, as Kubernetes counts them.
func gpusOfNode(pool api.NodePool) int {
	if pool.NodeCount == 0 {
		return 0
	}
	return (pool.GpuCount + pool.NodeCount - 1) / pool.NodeCount
}

func poolCost(ask costs.Ask, pool api.NodePool, price *costs.Price, notes []string) api.NodePoolCost {
	cost := api.NodePoolCost{
		PoolName: pool.Name, GpuModel: pool.GpuModel, AvailableGpus: pool.AvailableGpus, InstanceType: pool.InstanceType, Region: pool.Region,
		CostBreakdown: costs.Breakdown(ask, pool.GpuModel, price, gpusOfNode(pool), notes),
	}
	if pool.GpuCount == 0 {
		cost.GpuModel, cost.CostBreakdown.GpuModel = "CPU", "CPU"
	} else if cost.GpuModel == "" {
		cost.GpuModel, cost.CostBreakdown.GpuModel = "unknown", "unknown"
	}
	if e := cost.CostBreakdown.Estimate; price != nil && e.Hourly != nil {
		pricing := &api.PoolPricing{
			InstanceType: price.InstanceType, HourlyPrice: *e.Hourly, MonthlyPrice: *e.Monthly, MachineHourlyPrice: price.Hourly,
			Currency: price.Currency, Region: price.Region, Source: api.PoolPricingSourceListPrice,
		}
		if price.Source == costs.SourceAPI {
			pricing.Source = api.PoolPricingSourceRealtime
			if price.Cached {
				pricing.Source = api.PoolPricingSourceCached
			}
		}
		cost.RealtimePricing = pricing
	}
	return cost
}

// GetInstancePrice is what a machine costs.
func (s *Server) GetInstancePrice(w http.ResponseWriter, r *http.Request, p api.GetInstancePriceParams) {
	var details []api.ErrorDetail
	provider := costs.ProviderOf(p.InstanceType)
	if provider == "" {
		details = append(details, api.ErrorDetail{Field: "instanceType", Message: "must be a machine type of Azure, AWS or Google, as Standard_NC24ads_A100_v4, g5.xlarge or g2-standard-4"})
	}
	if p.Region != "" && !costs.IsRegion(p.Region) {
		details = append(details, api.ErrorDetail{Field: "region", Message: "must be a region as its provider names it, as eastus, us-east-1 or us-central1"})
	}
	if details != nil {
		s.fail(w, r, invalidDetails(details))
		return
	}
	price, notes := s.prices.Of(r.Context(), costs.Question{InstanceType: p.InstanceType, Provider: provider, Region: p.Region})
	if price == nil {
		e := api.Errorf(api.ErrorCodeNotFound, "no price is known of %s (%s)", p.InstanceType, provider)
		for _, note := range notes {
			e.Details = append(e.Details, api.ErrorDetail{Field: "instanceType", Message: note})
		}
		s.fail(w, r, e)
		return
	}
	answer := api.InstancePrice{
		InstanceType: price.InstanceType, Provider: api.CloudProvider(price.Provider), Region: price.Region, HourlyPrice: price.Hourly, Currency: price.Currency,
		PriceType: api.InstancePricePriceTypeOndemand, GpuCount: price.GPUs, LastUpdated: price.AsOf, Source: api.CostSource(price.Source), Confidence: api.CostConfidence(price.Confidence),
		Notes: append([]string{}, notes...),
	}
	product, _ := products.OfInstance(p.InstanceType)
	if found, ok := products.Find(product); ok {
		answer.GpuModel = found.Name
	}
	writeJSON(w, http.StatusOK, api.InstancePriceAnswer{Success: true, Price: answer, Cached: price.Cached})
}

// ListGpuModels is the GPUs that are known.
func (s *Server) ListGpuModels(w http.ResponseWriter, _ *http.Request) {
	list := api.GpuModelList{
		Success: true, Models: []api.GpuModel{},
		Note: "What a GPU costs depends on the machine it is in: see /api/costs/node-pools and /api/costs/instance-price.",
	}
	for _, product := range products.All() {
		list.Models = append(list.Models, gpuModel(product))
	}
	writeJSON(w, http.StatusOK, list)
}

func gpuModel(p products.Product) api.GpuModel {
	return api.GpuModel{Model: p.Name, MemoryGb: p.MemoryGb, Generation: p.Generation, Vendor: p.Vendor}
}

// NormalizeGpuLabel is what GPU a label means.
func (s *Server) NormalizeGpuLabel(w http.ResponseWriter, _ *http.Request, p api.NormalizeGpuLabelParams) {
	answer := api.GpuLabelMeaning{Success: true, OriginalLabel: p.Label}
	if product, ok := products.Find(p.Label); ok {
		model := gpuModel(product)
		answer.NormalizedModel, answer.GpuInfo = &product.Name, &model
	}
	writeJSON(w, http.StatusOK, answer)
}

// NormalizeGpuProduct is the same, as the AI Configurator's page asks for it.
func (s *Server) NormalizeGpuProduct(w http.ResponseWriter, r *http.Request) {
	var q api.GpuProductRequest
	if err := readBody(r, &q); err != nil {
		s.fail(w, r, err)
		return
	}
	product, ok := products.Find(q.GpuProduct)
	writeJSON(w, http.StatusOK, api.GpuProductMeaning{GpuProduct: q.GpuProduct, Normalized: cmp.Or(product.Name, q.GpuProduct), Known: ok})
}
