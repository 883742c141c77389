package main

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profile is a CPU profile being taken; nil where none is wanted.
type profile struct {
	path string
	cpu  *os.File
}

func newProfile(path string) (*profile, error) {
	if path == "" {
		return nil, nil
	}
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		return nil, err
	}
	return &profile{path, cpu}, pprof.StartCPUProfile(cpu)
}

// end writes the profiles.
func (p *profile) end() error {
	if p == nil {
		return nil
	}
	pprof.StopCPUProfile()
	heap, err := os.Create(p.path + ".heap")
	if err != nil {
		return err
	}
	return errors.Join(pprof.WriteHeapProfile(heap), heap.Close(), p.cpu.Close())
}
