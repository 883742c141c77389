package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubefoundry/kubefoundry/devcluster/nodes"
	"github.com/kubefoundry/kubefoundry/devcluster/scenario"
)

// operators is the name under which the stand-ins of the runtimes' operators, the
// model servers and the scenario are left out together.
const operators = "operators"

// options are the flags of "up".
type options struct {
	dir        string
	port       int
	kubeconfig string

	cloud    string
	gpuNodes int
	cpuNodes int
	gpuTaint bool

	components  []string
	crds        string
	scenario    string
	deployments int
	churn       float64
	seed        int64

	apiserverArgs   []string
	apiserverMemory string

	quiet      bool
	untilStdin bool
}

func (o options) has(component string) bool { return slices.Contains(o.components, component) }

func (o *options) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.dir, "dir", "", "folder for everything that the cluster writes; empty or new (default a temporary one)")
	f.IntVar(&o.port, "port", 0, "port of the API server on 127.0.0.1; 0 for a free one")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "also write the administrator's kubeconfig to this file")

	f.StringVar(&o.cloud, "cloud", string(nodes.Azure), "flavour of node names and labels: azure, gke or eks")
	f.IntVar(&o.gpuNodes, "gpu-nodes", 12, "nodes with GPUs, of four products in turn")
	f.IntVar(&o.cpuNodes, "cpu-nodes", 3, "nodes without GPUs")
	f.BoolVar(&o.gpuTaint, "gpu-taint", false, "taint the GPU nodes with nvidia.com/gpu:NoSchedule")

	f.StringSliceVar(&o.components, "components", []string{controllersName, schedulerName, kwokName, operators},
		"what runs beside etcd and the API server; none for nothing")
	f.StringVar(&o.crds, "crds", "", "folder with the runtimes' published CRDs, in place of the slim ones")
	f.StringVar(&o.scenario, "scenario", "", "what happens in the cluster: "+strings.Join(scenario.Names(), ", ")+"; nothing by default")
	f.IntVar(&o.deployments, "deployments", 0, "model deployments of the scenario; 0 for its own number")
	f.Float64Var(&o.churn, "churn", 0, "changes per second of the scenario")
	f.Int64Var(&o.seed, "seed", 1, "seed of the scenario's chance")

	f.StringArrayVar(&o.apiserverArgs, "apiserver-arg", nil,
		"further argument of kube-apiserver, such as --min-request-timeout=5 for watches that end soon; may be repeated")
	f.StringVar(&o.apiserverMemory, "apiserver-memory", "1200MiB", "GOMEMLIMIT of kube-apiserver; without one it grows to 3 GB under load")

	f.BoolVar(&o.quiet, "quiet", false, "no progress on standard error")
	f.BoolVar(&o.untilStdin, "until-stdin-closes", false, "end when standard input does, so as not to outlive the program at its other end")
}

func (o *options) validate() error {
	if _, err := nodes.ParseCloud(o.cloud); err != nil {
		return err
	}
	if o.gpuNodes < 0 || o.cpuNodes < 0 || o.deployments < 0 || o.churn < 0 {
		return fmt.Errorf("numbers of nodes, deployments and changes cannot be negative")
	}
	known := []string{controllersName, schedulerName, kwokName, operators}
	if slices.Equal(o.components, []string{"none"}) {
		o.components = nil
	}
	for _, name := range o.components {
		if !slices.Contains(known, name) {
			return fmt.Errorf("component %q is not known; choose from %s, or none", name, strings.Join(known, ", "))
		}
	}
	if o.scenario != "" && !slices.Contains(scenario.Names(), o.scenario) {
		return fmt.Errorf("scenario %q is not known; choose from %s", o.scenario, strings.Join(scenario.Names(), ", "))
	}
	if o.scenario != "" && !o.has(operators) {
		return fmt.Errorf("scenario %s needs the component %s", o.scenario, operators)
	}
	return nil
}
