package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"

	"github.com/kubefoundry/kubefoundry/devcluster/crds"
	"github.com/kubefoundry/kubefoundry/devcluster/egress"
	"github.com/kubefoundry/kubefoundry/devcluster/kubelet"
	"github.com/kubefoundry/kubefoundry/devcluster/modelserver"
	"github.com/kubefoundry/kubefoundry/devcluster/scenario"
	"github.com/kubefoundry/kubefoundry/devcluster/standin"
)

// simulation is what lives in the cluster: the stand-ins of the operators, the
// model servers in the pods, and a scenario. They are one component, because they
// share the informers.
type simulation struct {
	informers informers.SharedInformerFactory
	fleet     *modelserver.Fleet
	log       *slog.Logger
	logFile   *os.File
}

// newSimulation makes the model servers, which the network needs to know before
// there is an API server.
func (c *cluster) newSimulation() (*simulation, error) {
	factory, err := standin.Informers(c.config)
	if err != nil {
		return nil, fmt.Errorf("operators: %w", err)
	}
	fleet, err := modelserver.New(factory)
	if err != nil {
		return nil, fmt.Errorf("model servers: %w", err)
	}
	file, err := os.OpenFile(c.dir.file(operators+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("operators: log: %w", err)
	}
	log := slog.New(slog.NewTextHandler(file, nil))
	// What client-go says of broken connections goes there too, and not between
	// the lines about the cluster.
	klog.SetSlogLogger(log)
	return &simulation{informers: factory, fleet: fleet, log: log, logFile: file}, nil
}

// pods and logs are nil interfaces without a simulation, not interfaces of nil.

func (s *simulation) pods() egress.Dialer {
	if s == nil {
		return nil
	}
	return s.fleet
}

func (s *simulation) logs() kubelet.Logs {
	if s == nil {
		return nil
	}
	return s.fleet
}

// startSimulation installs the definitions, starts the stand-ins and creates the
// scenario's objects.
func (c *cluster) startSimulation(ctx, wait context.Context) error {
	if c.simulation == nil {
		return nil
	}
	if err := crds.Install(wait, c.config, c.options.crds); err != nil {
		return fmt.Errorf("custom resource definitions: %w", err)
	}
	c.report.Step("custom resource definitions of KAITO, KubeRay and Dynamo")
	c.inBackground(ctx, "model servers", c.simulation.fleet.Run)
	c.inBackground(ctx, "operators", func(ctx context.Context) error {
		return standin.Run(ctx, c.config, standin.Options{
			Autoscaler: true, Informers: c.simulation.informers, Log: c.simulation.log,
		})
	})
	if c.options.scenario == "" {
		return nil
	}
	// Not limited by wait: its changes go on.
	err := scenario.Start(ctx, c.config, scenario.Options{
		Name: c.options.scenario, Deployments: c.options.deployments, Churn: c.options.churn,
		Seed: c.options.seed, Log: c.simulation.log,
	})
	if err != nil {
		return err
	}
	c.report.Step("scenario %s", c.options.scenario)
	return nil
}
