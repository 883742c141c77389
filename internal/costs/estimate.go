package costs

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/gpus"
)

// Ask is what is to be paid for.
type Ask struct {
	// GPUs of one replica; none on machines without.
	GPUs     int
	Replicas int
	// Hours of a month; HoursPerMonth when left out.
	Hours int
}

func (a Ask) hours() float64 {
	if a.Hours > 0 {
		return float64(a.Hours)
	}
	return HoursPerMonth
}

// Breakdown is what replicas cost on machines of a price, of which each has so many GPUs: their share of the machines, since
// others may use the rest. It has no figures where the price is nil.
func Breakdown(a Ask, label string, price *Price, gpusOfMachine int, notes []string) api.CostBreakdown {
	b := api.CostBreakdown{
		TotalGpus: a.GPUs * a.Replicas, GpuModel: label, Notes: slices.Clone(notes),
		Estimate: api.CostEstimate{Currency: prices().Currency, Source: api.CostSource(SourceUnknown), Confidence: api.CostConfidence(ConfidenceLow)},
	}
	if b.Notes == nil {
		b.Notes = []string{}
	}
	switch product, ok := gpus.Find(label); {
	case ok && product.SizeGuessed:
		b.Notes = append(b.Notes, fmt.Sprintf("%.100q does not tell the GPU's memory; the smallest is taken.", label))
		fallthrough
	case ok:
		b.NormalizedGpuModel = product.Name
	}
	if price == nil {
		return b
	}
	b.Estimate.Currency, b.Estimate.Source, b.Estimate.Confidence = price.Currency, api.CostSource(price.Source), api.CostConfidence(price.Confidence)
	b.Estimate.AsOf, b.Estimate.Provider, b.Estimate.Region = price.AsOf, api.CloudProvider(price.Provider), price.Region
	if a.GPUs == 0 {
		b.Estimate.Hourly, b.Estimate.Monthly = figures(price.Hourly*float64(a.Replicas), a.hours())
		b.Notes = append(b.Notes, "It is for a machine of each replica's own; several may share one.")
		return b
	}
	if gpusOfMachine <= 0 {
		gpusOfMachine = price.GPUs
	}
	if gpusOfMachine <= 0 { // the price is known, its part is not
		b.Estimate.Source = api.CostSource(SourceUnknown)
		b.Notes = append(b.Notes, fmt.Sprintf("A machine costs %.4g %s an hour, but nothing tells how many GPUs it has.", price.Hourly, price.Currency))
		return b
	}
	each := price.Hourly / float64(gpusOfMachine)
	b.PerGpu.Hourly, b.PerGpu.Monthly = figures(each, a.hours())
	b.Estimate.Hourly, b.Estimate.Monthly = figures(each*float64(b.TotalGpus), a.hours())
	if a.GPUs%gpusOfMachine != 0 {
		b.Notes = append(b.Notes, fmt.Sprintf("It is the share of %d GPUs; a machine with %d costs %.4g %s an hour, whoever uses the rest.",
			b.TotalGpus, gpusOfMachine, price.Hourly, price.Currency))
	}
	return b
}

// figures are those of an hour and a month, as they are shown.
func figures(hourly, hours float64) (hour, month *float64) {
	h, m := Rounded(hourly, 4), Rounded(hourly*hours, 2)
	return &h, &m
}

// Rounded is a price with as many places as people are shown.
func Rounded(f float64, places int) float64 {
	by := math.Pow10(places)
	return math.Round(f*by) / by
}

// ForGPU estimates by the kind of GPU alone: from the cheapest machine with it in the table.
func ForGPU(a Ask, label string) api.CostBreakdown {
	product, ok := gpus.Find(label)
	if !ok {
		return Breakdown(a, label, nil, 0, []string{fmt.Sprintf("%.100q is not a GPU that is known.", label)})
	}
	var best *Price
	dearest := 0.0
	for _, provider := range slices.Sorted(maps.Keys(prices().Providers)) {
		listed := prices().Providers[provider]
		for _, name := range slices.Sorted(maps.Keys(listed.Machines)) {
			m := listed.Machines[name]
			of, _ := gpus.OfInstance(name)
			if same, _ := gpus.Find(of); of == "" || m[1] < 1 || same.Name != product.Name {
				continue
			}
			price := fromTable(Question{InstanceType: name, Provider: provider, Region: listed.Region})
			each := price.Hourly / float64(price.GPUs)
			dearest = max(dearest, each)
			if best == nil || each < best.Hourly/float64(best.GPUs) {
				best = price
			}
		}
	}
	if best == nil {
		return Breakdown(a, label, nil, 0, []string{fmt.Sprintf("The table of list prices has no machine with %s.", product.Name)})
	}
	best.Confidence = ConfidenceLow
	notes := append(best.Notes, fmt.Sprintf("It is the cheapest machine with this GPU in the table, %s of %s in %s; the dearest asks %.4g %s for a GPU and hour.",
		best.InstanceType, strings.ToUpper(string(best.Provider)), best.Region, dearest, best.Currency))
	return Breakdown(a, label, best, 0, notes)
}
