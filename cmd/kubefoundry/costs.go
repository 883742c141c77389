package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/kubefoundry/kubefoundry/internal/aiconfigurator"
	"github.com/kubefoundry/kubefoundry/internal/costs"
)

// costsOptions say where prices and suggestions are from.
type costsOptions struct {
	asked costs.Options
	tool  aiconfigurator.Options
}

func (o *costsOptions) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.asked.AzureURL, "azure-prices-url", costs.DefaultAzureURL, "address of Azure's retail prices; nobody is asked when empty, and prices are from a table")
	flags.StringVar(&o.tool.Path, "aiconfigurator", aiconfigurator.DefaultCommand, "NVIDIA's AI Configurator: its path, or its name on the PATH; \"none\" for suggestions that are worked out from sizes")
	flags.DurationVar(&o.tool.Timeout, "aiconfigurator-timeout", 25*time.Second, "how long the AI Configurator may take before a suggestion is worked out from sizes")
}

func (o *costsOptions) prices() (*costs.Prices, error) {
	prices, err := costs.New(o.asked)
	if err != nil {
		return nil, fmt.Errorf("--azure-prices-url: %w", err)
	}
	return prices, nil
}

func (o *costsOptions) configurator() *aiconfigurator.Tool { return aiconfigurator.New(o.tool) }
