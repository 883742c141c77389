package devcluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// stopTimeout is more than ten times what an end takes.
const stopTimeout = 20 * time.Second

// ErrAttached is what a cluster that was started elsewhere answers to requests
// that would disturb its other users.
var ErrAttached = errors.New("this cluster is shared; start one with devcluster.Start")

// message is a line of the cluster's standard output.
type message struct {
	Event      string `json:"event"`
	Kubeconfig string `json:"kubeconfig"`
	Dir        string `json:"dir"`
	Revision   int64  `json:"revision"`
	Error      string `json:"error"`
}

// Cluster is a running cluster. Its methods may be called from any goroutine.
type Cluster struct {
	kubeconfig string
	config     *rest.Config

	// The rest is nil for a cluster that was started elsewhere.
	command  *exec.Cmd
	lifeline io.Closer
	dir      string
	messages chan message
	said     *lastWords
	exited   chan struct{}
	exit     error // set before exited is closed

	// asking holds back a second request until the first is answered.
	asking sync.Mutex
	stop   sync.Once
	result error // of stop
}

// Start builds the binary if need be and starts a cluster. ctx bounds the start;
// the cluster runs until [Cluster.Stop], or until this process ends.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	progress, said := o.Progress, newLastWords(o.Progress)
	if progress == nil {
		progress = os.Stderr
	}
	binary, err := Binary(ctx, progress)
	if err != nil {
		return nil, err
	}
	// Not bound to ctx: the cluster outlives its start, and ends by its lifeline.
	command := exec.Command(binary, o.args()...) //nolint:noctx // see above
	command.Stderr = said
	// An interrupt in a terminal goes to this process, whose end is the cluster's.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c := &Cluster{
		command: command, lifeline: lifeline, said: said,
		messages: make(chan message, 8), exited: make(chan struct{}),
	}
	go c.follow(output)
	ready, err := c.await(ctx, "ready")
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.dir = ready.Dir
	if err := c.load(ready.Kubeconfig); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Attach uses a cluster that runs already.
func Attach(kubeconfig string) (*Cluster, error) {
	c := &Cluster{}
	return c, c.load(kubeconfig)
}

func (c *Cluster) load(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("cluster: kubeconfig %s: %w", kubeconfig, err)
	}
	c.kubeconfig, c.config = kubeconfig, config
	return nil
}

// follow hands on the cluster's messages and notes its end.
func (c *Cluster) follow(output io.Reader) {
	defer close(c.exited)
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		var m message
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		select {
		case c.messages <- m:
		default:
			// Nobody asked for it.
		}
	}
	if err := c.command.Wait(); err != nil {
		c.exit = fmt.Errorf("cluster ended: %w\n%s", err, c.said)
	}
}

// await waits for the answer to what was asked.
func (c *Cluster) await(ctx context.Context, event string) (message, error) {
	for {
		select {
		case m := <-c.messages:
			switch m.Event {
			case event:
				return m, nil
			case "error":
				return m, fmt.Errorf("cluster: %s", m.Error)
			}
		case <-c.exited:
			if c.exit != nil {
				return message{}, c.exit
			}
			return message{}, fmt.Errorf("cluster has ended")
		case <-ctx.Done():
			return message{}, fmt.Errorf("cluster: wait for %s: %w\n%s", event, context.Cause(ctx), c.said)
		}
	}
}

func (c *Cluster) ask(ctx context.Context, s os.Signal, event string) (message, error) {
	if c.command == nil {
		return message{}, ErrAttached
	}
	c.asking.Lock()
	defer c.asking.Unlock()
	// The answer to a request whose caller has given up is not the next one's.
	for len(c.messages) > 0 {
		<-c.messages
	}
	if err := c.command.Process.Signal(s); err != nil {
		return message{}, fmt.Errorf("cluster: %w", err)
	}
	return c.await(ctx, event)
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Config is an administrator's client configuration, a new copy each time.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// RestartAPIServer kills the API server and returns when it is ready again, with
// the same objects and credentials at the same address. Watches have ended by
// then, and most resource versions from before are too old to resume from.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	_, err := c.ask(ctx, syscall.SIGUSR1, "apiserver-restarted")
	return err
}

// Compact drops etcd's history and returns the revision before which nothing is
// kept. Reads of older versions that the API server has to ask etcd for (exact
// versions, continued lists, any watch with --watch-cache=false) then answer 410.
// Watches are served from the API server's cache: they answer 410 only once the
// API server has restarted too.
func (c *Cluster) Compact(ctx context.Context) (int64, error) {
	m, err := c.ask(ctx, syscall.SIGUSR2, "compacted")
	return m.Revision, err
}

// Stop ends the cluster and waits until its processes and files are gone. Calling
// it again returns the same. A cluster that was attached to goes on.
func (c *Cluster) Stop() error {
	if c.command == nil {
		return nil
	}
	c.stop.Do(func() { c.result = c.end() })
	return c.result
}

func (c *Cluster) end() error {
	// Closed already if the process has ended by itself.
	_ = c.lifeline.Close()
	select {
	case <-c.exited:
		return c.exit
	case <-time.After(stopTimeout):
	}
	// Its components go with it, its files stay.
	if err := c.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cluster: kill: %w", err)
	}
	<-c.exited
	err := fmt.Errorf("cluster did not end within %s and was killed\n%s", stopTimeout, c.said)
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}
