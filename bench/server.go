package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// server is `kubefoundry serve`, as users run it.
type server struct {
	command *exec.Cmd
	address string
	output  bytes.Buffer
	// ready is how long it took from its start until it had read everything.
	ready time.Duration
}

const readyWithin = 2 * time.Minute

func startServer(ctx context.Context, binary, kubeconfig string, flags ...string) (*server, error) {
	free, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{address: free.Addr().String()}
	if err := free.Close(); err != nil {
		return nil, err
	}
	s.command = exec.CommandContext(ctx, binary, append([]string{"serve", "--kubeconfig", kubeconfig, "--listen", s.address, "--log-level", "warn"}, flags...)...)
	s.command.Stderr = &s.output
	begun := time.Now()
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w; `make build` makes it", binary, err)
	}
	for {
		if _, err = s.get(ctx, "/readyz"); err == nil {
			s.ready = time.Since(begun)
			return s, nil
		}
		if time.Since(begun) > readyWithin || sleep(ctx, 10*time.Millisecond) != nil {
			return nil, errors.Join(fmt.Errorf("%s is not ready after %s: %w", binary, readyWithin, err), s.stop())
		}
	}
}

func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", path, response.Status, body)
	}
	return body, err
}

// usage is the server's CPU time, counted in steps of 10 ms, and its memory.
func (s *server) usage() (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	if err != nil {
		return usage{}, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := bytes.Fields(rest) // from the third on; 14 and 15 are user and system time
	const ticks = 100            // per second, on every Linux that Go runs on
	var u usage
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return usage{}, err
		}
		u.CPU += time.Duration(n) * time.Second / ticks
	}
	u.Resident, err = resident(s.command.Process.Pid)
	return u, err
}

// stop ends the server, by force where it does not end by itself, and says what it said if that was an error.
func (s *server) stop() error {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	force := time.AfterFunc(15*time.Second, func() { _ = s.command.Process.Kill() })
	defer force.Stop()
	if err := s.command.Wait(); err != nil {
		return fmt.Errorf("kubefoundry: %w\n%s", err, s.output.String())
	}
	return nil
}
