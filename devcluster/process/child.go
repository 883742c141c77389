// Package process runs the components of a cluster as child processes.
//
// Its one law: a child never outlives its parent, however the parent ends, and
// when a child ends unasked the reason is in the error.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// tailLines of a component's log stand in the error when it ends unasked; more
// would bury the first of them.
const tailLines = 20

// Spec says what to run.
type Spec struct {
	// Name is what the component is called in errors.
	Name string
	// Path is the executable and Args its arguments without the name.
	Path string
	Args []string
	// Env is added to the parent's environment.
	Env []string
	// Log is the file that takes both outputs; it is appended to.
	Log string
}

// Child is a running component.
type Child struct {
	spec    Spec
	cmd     *exec.Cmd
	asked   atomic.Bool
	done    chan struct{}
	outcome error // set before done is closed
}

// Start runs a component.
func Start(spec Spec) (*Child, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: log: %w", spec.Name, err)
	}
	// The child has its own copy of the descriptor.
	defer log.Close()
	// Not bound to a context: a component is ended by Kill only, in an order.
	cmd := exec.Command(spec.Path, spec.Args...) //nolint:noctx // see above
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// The kernel sends this when the thread that started the child ends. Go
		// ends a thread only if a goroutine locked to it returns, and nothing that
		// starts children here is locked.
		Pdeathsig: syscall.SIGKILL,
		// An interrupt in a terminal goes to the whole group; the parent alone
		// decides the order in which components end.
		Setpgid: true,
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: start: %w", spec.Name, err)
	}
	c := &Child{spec: spec, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		err := cmd.Wait()
		if c.asked.Load() {
			return
		}
		if err == nil {
			err = errors.New("exit status 0")
		}
		c.outcome = fmt.Errorf("%s ended by itself: %w; the end of %s:\n%s", spec.Name, err, spec.Log, tail(spec.Log))
	}()
	return c, nil
}

// Name is the component's.
func (c *Child) Name() string { return c.spec.Name }

// PID is the process ID.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the component has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err says why the component ended unasked. It is nil while it runs and after
// Kill.
func (c *Child) Err() error {
	select {
	case <-c.done:
		return c.outcome
	default:
		return nil
	}
}

// Kill ends the component and its descendants at once and waits for it. There is
// nothing that a component would have to save, and an API server that is asked
// politely waits for its watches to end.
func (c *Child) Kill() error {
	c.asked.Store(true)
	select {
	case <-c.done:
		// The number may be another process's by now.
		return nil
	default:
	}
	if err := syscall.Kill(-c.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: kill: %w", c.spec.Name, err)
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s: process %d does not end", c.spec.Name, c.PID())
	}
}

// tail returns the last lines of a file.
func tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	const most = 16 << 10
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(io.LimitReader(file, most)); err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return "\t" + strings.Join(lines, "\n\t")
}
