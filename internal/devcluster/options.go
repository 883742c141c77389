package devcluster

import (
	"io"
	"strconv"
	"strings"
)

// Components that run beside etcd and the API server.
const (
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	// KWOK makes nodes and pods ready.
	KWOK = "kwok"
	// Operators are the stand-ins of the runtimes' operators, with their custom
	// resource definitions, model servers and scenarios.
	Operators = "operators"
)

// Options say what a cluster is like. The zero value is a small one with
// everything in it and nothing going on.
type Options struct {
	// GPUNodes and CPUNodes count nodes. Zero means 4 and 1: one of each GPU
	// product, 24 GPUs. A negative number means none.
	GPUNodes, CPUNodes int
	// GPUTaint taints the GPU nodes with nvidia.com/gpu:NoSchedule.
	GPUTaint bool
	// Cloud is the flavour of the nodes: azure (the default), gke or eks.
	Cloud string

	// Components to run; nil means all. An empty list is only etcd and the API
	// server.
	Components []string
	// CRDs is a folder with the runtimes' published definitions; empty means the
	// slim ones.
	CRDs string
	// Scenario names what happens in the cluster, with a number of Deployments
	// (zero means the scenario's own), Churn changes per second, and a Seed.
	Scenario    string
	Deployments int
	Churn       float64
	Seed        int64

	// APIServerArgs are further arguments of kube-apiserver:
	// --min-request-timeout=5 for watches that end after 5 to 10 s,
	// --watch-cache=false to see compactions at once.
	APIServerArgs []string
	// Progress is told about builds and starts; nil means standard error for
	// builds and nothing else.
	Progress io.Writer
}

func (o Options) args() []string {
	args := []string{
		"up", "--until-stdin-closes",
		"--gpu-nodes=" + strconv.Itoa(count(o.GPUNodes, 4)),
		"--cpu-nodes=" + strconv.Itoa(count(o.CPUNodes, 1)),
	}
	if o.GPUTaint {
		args = append(args, "--gpu-taint")
	}
	if o.Cloud != "" {
		args = append(args, "--cloud="+o.Cloud)
	}
	switch {
	case o.Components == nil:
	case len(o.Components) == 0:
		args = append(args, "--components=none")
	default:
		args = append(args, "--components="+strings.Join(o.Components, ","))
	}
	if o.CRDs != "" {
		args = append(args, "--crds="+o.CRDs)
	}
	if o.Scenario != "" {
		args = append(args, "--scenario="+o.Scenario,
			"--deployments="+strconv.Itoa(o.Deployments),
			"--churn="+strconv.FormatFloat(o.Churn, 'f', -1, 64))
	}
	if o.Seed != 0 {
		args = append(args, "--seed="+strconv.FormatInt(o.Seed, 10))
	}
	for _, arg := range o.APIServerArgs {
		args = append(args, "--apiserver-arg="+arg)
	}
	return args
}

func count(n, byDefault int) int {
	switch {
	case n == 0:
		return byDefault
	case n < 0:
		return 0
	default:
		return n
	}
}
