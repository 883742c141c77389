package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// process is this program in a role.
type process struct {
	command *exec.Cmd
	input   io.Closer
	orders  *json.Encoder
	answers *json.Decoder
	address string
	begun   usage
}

func startProcess(ctx context.Context, c casting) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, roleCommand)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command, input: input, orders: json.NewEncoder(input), answers: json.NewDecoder(output)}
	ready, err := p.say(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("role %s: %w", c.Role, err), p.stop())
	}
	p.address, p.begun = ready.Address, ready.Usage
	return p, nil
}

// ask gives an order and returns what the process has used when it is done.
func (p *process) ask(o order) (usage, error) {
	a, err := p.say(o)
	return a.Usage, err
}

func (p *process) say(line any) (answer, error) {
	if err := p.orders.Encode(line); err != nil {
		return answer{}, err
	}
	var a answer
	if err := p.answers.Decode(&a); err != nil {
		return answer{}, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// stop ends the process, by force where it does not end by itself.
func (p *process) stop() error {
	_ = p.input.Close()
	force := time.AfterFunc(15*time.Second, func() { _ = p.command.Process.Kill() })
	defer force.Stop()
	return p.command.Wait()
}
