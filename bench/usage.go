package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// usage is what a process has used.
type usage struct {
	CPU time.Duration `json:"cpu"`
	// Bytes. Heap and Stack are those in use.
	Resident uint64 `json:"resident"`
	Heap     uint64 `json:"heap"`
	Stack    uint64 `json:"stack"`

	Goroutines int `json:"goroutines"`
}

// ownUsage is this process's. With settled set, garbage is collected and given back first.
func ownUsage(settled bool) (usage, error) {
	if settled {
		runtime.GC()
		debug.FreeOSMemory()
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("getrusage: %w", err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	resident, err := resident(os.Getpid())
	return usage{
		CPU:      time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		Resident: resident, Heap: m.HeapInuse, Stack: m.StackInuse, Goroutines: runtime.NumGoroutine(),
	}, err
}

// resident is the memory of a process in bytes, without what it maps from files: pages of the program are in no way its own.
func resident(pid int) (uint64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, name := range []string{"RssAnon:", "RssShmem:"} {
		_, rest, _ := bytes.Cut(status, []byte(name))
		value, _, _ := bytes.Cut(rest, []byte(" kB"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		sum += n << 10
	}
	return sum, nil
}
