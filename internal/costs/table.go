package costs

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed prices.yaml
var pricesYAML []byte

// table is prices.yaml.
type table struct {
	AsOf      string                       `json:"asOf"`
	Currency  string                       `json:"currency"`
	Providers map[Provider]*providerPrices `json:"providers"`
}

type providerPrices struct {
	Region   string             `json:"region"`
	Machines map[string]machine `json:"machines"`
	Attached map[string]float64 `json:"attached"`
}

// machine is the price of an hour and how many GPUs it has.
type machine [2]float64

// prices cannot fail: tests read the table.
var prices = sync.OnceValue(func() *table {
	t, err := readTable(pricesYAML)
	if err != nil {
		panic(err)
	}
	return t
})

func readTable(data []byte) (*table, error) {
	var t table
	if err := yaml.UnmarshalStrict(data, &t); err != nil {
		return nil, fmt.Errorf("prices.yaml: %w", err)
	}
	for provider, p := range t.Providers {
		lower := make(map[string]machine, len(p.Machines))
		for name, m := range p.Machines {
			if m[0] <= 0 || m[1] < 0 {
				return nil, fmt.Errorf("prices.yaml: %s %s: %v", provider, name, m)
			}
			lower[strings.ToLower(name)] = m
		}
		p.Machines = lower
	}
	return &t, nil
}

// fromTable is the list price of a machine; nil where the table has none. Where GPUs are attached, as to Google's n1, they are
// added: without them it would be another machine's price.
func fromTable(q Question) *Price {
	p := prices().Providers[q.Provider]
	if p == nil {
		return nil
	}
	m, ok := p.Machines[strings.ToLower(q.InstanceType)]
	if !ok {
		return nil
	}
	price := &Price{
		InstanceType: q.InstanceType, Provider: q.Provider, Region: p.Region, Hourly: m[0], Currency: prices().Currency,
		Source: SourceTable, AsOf: prices().AsOf, Confidence: ConfidenceMedium, GPUs: int(m[1]),
	}
	if q.Provider == GCP && q.AttachedGPUs > 0 && price.GPUs == 0 {
		each, ok := p.Attached[q.GPU]
		if !ok {
			return nil
		}
		price.Hourly += each * float64(q.AttachedGPUs)
		price.GPUs = q.AttachedGPUs
	}
	if q.Region != "" && q.Region != p.Region {
		price.Confidence = ConfidenceLow
		price.Notes = append(price.Notes, fmt.Sprintf("It is the price in %s; the one in %s may differ.", p.Region, q.Region))
	}
	price.Notes = append(price.Notes, fmt.Sprintf("It is a list price as of %s, from a table.", price.AsOf))
	return price
}
