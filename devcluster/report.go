package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// message is one line of JSON on standard output, for the program that started
// the cluster. Event is one of the names below; the other fields are set where
// they mean something.
type message struct {
	Event      string  `json:"event"`
	Kubeconfig string  `json:"kubeconfig,omitempty"`
	Server     string  `json:"server,omitempty"`
	Dir        string  `json:"dir,omitempty"`
	PID        int     `json:"pid,omitempty"`
	Revision   int64   `json:"revision,omitempty"`
	Error      string  `json:"error,omitempty"`
	Seconds    float64 `json:"seconds"`
}

// Events.
const (
	eventReady     = "ready"
	eventRestarted = "apiserver-restarted"
	eventCompacted = "compacted"
	// eventError is that a restart or a compaction failed; the cluster runs on.
	eventError = "error"
)

// report tells a program, on out, and a person, on progress, what happens.
type report struct {
	begun time.Time

	mu       sync.Mutex
	out      io.Writer
	progress io.Writer
}

func newReport(out, progress io.Writer) *report {
	return &report{begun: time.Now(), out: out, progress: progress}
}

// Step tells the person.
func (r *report) Step(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.progress, "devcluster %5.1fs  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}

// Send tells the program.
func (r *report) Send(m message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Seconds = time.Since(r.begun).Round(time.Millisecond).Seconds()
	if err := json.NewEncoder(r.out).Encode(m); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
