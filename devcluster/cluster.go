package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubefoundry/kubefoundry/devcluster/egress"
	"github.com/kubefoundry/kubefoundry/devcluster/kubelet"
	"github.com/kubefoundry/kubefoundry/devcluster/nodes"
	"github.com/kubefoundry/kubefoundry/devcluster/pki"
	"github.com/kubefoundry/kubefoundry/devcluster/process"
	"github.com/kubefoundry/kubefoundry/devcluster/stages"
)

// startTimeout is more than ten times what a start takes on two cores; a machine
// that builds at the same time is slow.
const startTimeout = 2 * time.Minute

// stopTimeout bounds the wait for servers in this process, whose connections are
// all closed by then.
const stopTimeout = 10 * time.Second

// cluster is everything that runs. It is started, served and stopped by one
// goroutine.
type cluster struct {
	options options
	report  *report
	// end ends the cluster with a cause.
	end  context.CancelCauseFunc
	self string

	dir     *workdir
	port    int
	release func() // the port
	certs   *pki.Cluster
	config  *rest.Config
	client  kubernetes.Interface
	store   *store
	// simulation is nil without the component operators
	simulation *simulation
	apiserver  *process.Child
	// children beside the API server, in the order of their start
	children []*process.Child
	// background are the servers and operators inside this process
	background sync.WaitGroup
	// written is a kubeconfig outside of dir
	written string
}

// newCluster takes the folder and the port. Nothing runs yet.
func newCluster(end context.CancelCauseFunc, o options, r *report) (*cluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("own executable: %w", err)
	}
	port, release, err := reservePort(o.port)
	if err != nil {
		return nil, err
	}
	dir, err := openWorkdir(o.dir)
	if err != nil {
		release()
		return nil, err
	}
	return &cluster{options: o, report: r, end: end, self: self, dir: dir, port: port, release: release}, nil
}

// start brings everything up and reports ready. Each step has two contexts: what
// it starts lives as long as ctx, what it waits for is limited by wait.
func (c *cluster) start(ctx context.Context) error {
	wait, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("the cluster did not start within %s", startTimeout))
	defer cancel()
	for _, step := range []func(ctx, wait context.Context) error{
		c.startCertificates, c.startStore, c.startNetwork, c.startAPIServer, c.startControllers, c.startNodes,
		c.startSimulation,
	} {
		if err := step(ctx, wait); err != nil {
			return err
		}
	}
	kubeconfig := c.dir.file(kubeconfigName(pki.Admin))
	if err := c.publishKubeconfig(); err != nil {
		return err
	}
	c.report.Step("ready: export KUBECONFIG=%s", kubeconfig)
	return c.report.Send(message{
		Event: eventReady, Kubeconfig: kubeconfig, Server: serverURL(c.port), Dir: c.dir.path, PID: os.Getpid(),
	})
}

func kubeconfigName(user string) string { return user + ".kubeconfig" }

func (c *cluster) startCertificates(context.Context, context.Context) error {
	certs, err := pki.NewCluster(c.dir.file("pki"), nodes.KubeletIP)
	if err != nil {
		return err
	}
	c.certs = certs
	for _, user := range []string{pki.Admin, pki.Controllers, pki.Scheduler} {
		config := certs.Kubeconfig(user, serverURL(c.port))
		if err := pki.WriteKubeconfig(config, c.dir.file(kubeconfigName(user))); err != nil {
			return err
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.dir.file(kubeconfigName(pki.Admin)))
	if err != nil {
		return fmt.Errorf("administrator's kubeconfig: %w", err)
	}
	// Operators and scenarios of thousands of objects run in this process.
	config.QPS, config.Burst = -1, 0
	c.config = config
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

func (c *cluster) startStore(_, wait context.Context) error {
	store, err := startStore(wait, c.dir.path)
	if err != nil {
		return err
	}
	c.store = store
	return nil
}

// startNetwork starts what the API server connects to.
func (c *cluster) startNetwork(ctx, wait context.Context) error {
	if c.options.has(operators) {
		simulation, err := c.newSimulation()
		if err != nil {
			return err
		}
		c.simulation = simulation
	}
	kubeletSocket, egressSocket := c.dir.file("kubelet.sock"), c.dir.file("egress.sock")
	if err := egress.WriteConfig(c.dir.file("egress.yaml"), egressSocket); err != nil {
		return err
	}
	server := kubelet.NewServer(kubelet.TLS{
		CertFile: c.certs.CertFile(pki.Kubelet), KeyFile: c.certs.KeyFile(pki.Kubelet),
		Callers: c.certs.Authority().Pool(), CallerName: pki.KubeletClientName,
	}, c.simulation.logs())
	c.inBackground(ctx, "kubelet", func(ctx context.Context) error { return server.Run(ctx, kubeletSocket) })

	address := net.JoinHostPort(nodes.KubeletIP, strconv.Itoa(nodes.KubeletPort))
	proxy := egress.NewProxy(map[string]string{address: kubeletSocket}, c.simulation.pods())
	ready := make(chan struct{})
	c.inBackground(ctx, "egress proxy", func(ctx context.Context) error { return proxy.Run(ctx, egressSocket, ready) })
	select {
	case <-ready:
		return nil
	case <-wait.Done():
		return fmt.Errorf("wait for the egress proxy: %w", context.Cause(wait))
	}
}

func (c *cluster) startAPIServer(ctx, wait context.Context) error {
	child, err := process.Start(apiserverSpec(c.self, c.options, c.dir, c.certs, c.store.endpoint, c.port))
	if err != nil {
		return err
	}
	c.apiserver = child
	c.watch(ctx, child)
	if err := waitReady(wait, c.client); err != nil {
		return err
	}
	c.report.Step("kube-apiserver ready at %s", serverURL(c.port))
	return nil
}

// restartAPIServer kills the API server and starts it again.
func (c *cluster) restartAPIServer(ctx context.Context) error {
	if err := c.apiserver.Kill(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("kube-apiserver did not come back"))
	defer cancel()
	return c.startAPIServer(ctx, wait)
}

func (c *cluster) startControllers(ctx, wait context.Context) error {
	var specs []process.Spec
	if c.options.has(controllersName) {
		specs = append(specs, controllersSpec(c.self, c.dir.file(kubeconfigName(pki.Controllers)), c.dir, c.certs))
	}
	if c.options.has(schedulerName) {
		specs = append(specs, schedulerSpec(c.self, c.dir.file(kubeconfigName(pki.Scheduler)), c.dir))
	}
	if c.options.has(kwokName) {
		if err := stages.WriteConfig(c.dir.file("stages.yaml")); err != nil {
			return err
		}
		specs = append(specs, kwokSpec(c.self, c.dir.file(kubeconfigName(pki.Admin)), c.dir))
	}
	for _, spec := range specs {
		child, err := process.Start(spec)
		if err != nil {
			return err
		}
		c.children = append(c.children, child)
		c.watch(ctx, child)
	}
	if !c.options.has(controllersName) {
		return nil
	}
	// Pods are refused before their namespace has its ServiceAccount.
	return poll(wait, "ServiceAccount default", func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *cluster) startNodes(_, wait context.Context) error {
	plan := nodes.Plan{
		Cloud: nodes.Cloud(c.options.cloud),
		GPU:   c.options.gpuNodes, CPU: c.options.cpuNodes, Taint: c.options.gpuTaint,
	}
	if err := nodes.Register(wait, c.client, plan); err != nil {
		return err
	}
	if c.options.has(kwokName) {
		if err := poll(wait, "nodes to be ready", c.nodesReady); err != nil {
			return err
		}
	}
	c.report.Step("%d GPU nodes and %d others", c.options.gpuNodes, c.options.cpuNodes)
	return nil
}

func (c *cluster) nodesReady(ctx context.Context) error {
	list, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if !nodes.IsReady(&list.Items[i]) {
			return fmt.Errorf("node %s is not ready", list.Items[i].Name)
		}
	}
	return nil
}

// publishKubeconfig writes the administrator's kubeconfig to where --kubeconfig
// says.
func (c *cluster) publishKubeconfig() error {
	if c.options.kubeconfig == "" {
		return nil
	}
	if err := pki.WriteKubeconfig(c.certs.Kubeconfig(pki.Admin, serverURL(c.port)), c.options.kubeconfig); err != nil {
		return err
	}
	c.written = c.options.kubeconfig
	return nil
}

// watch ends the cluster when child ends by itself.
func (c *cluster) watch(ctx context.Context, child *process.Child) {
	c.background.Go(func() {
		select {
		case <-ctx.Done():
		case <-child.Done():
			if err := child.Err(); err != nil {
				c.end(err)
			}
		}
	})
}

// inBackground runs a server or operator of this process. Its error ends the
// cluster.
func (c *cluster) inBackground(ctx context.Context, name string, run func(context.Context) error) {
	c.background.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			c.end(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// stop ends everything, in the reverse order of the start, and removes all files.
// The context of start is done by now.
func (c *cluster) stop() error {
	var errs []error
	for _, child := range slices.Backward(c.children) {
		errs = append(errs, child.Kill())
	}
	if c.apiserver != nil {
		errs = append(errs, c.apiserver.Kill())
	}
	ended := make(chan struct{})
	go func() {
		c.background.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		errs = append(errs, fmt.Errorf("servers of the cluster did not end within %s", stopTimeout))
	}
	if c.store != nil {
		c.store.Close()
	}
	if c.simulation != nil {
		errs = append(errs, c.simulation.logFile.Close())
	}
	if c.written != "" {
		errs = append(errs, os.Remove(c.written))
	}
	errs = append(errs, c.dir.Remove())
	c.release()
	return errors.Join(errs...)
}
