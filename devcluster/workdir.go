package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockName is the file that marks a folder as a cluster's and is locked while
// the cluster runs.
const lockName = "devcluster.lock"

// workdir is the folder with everything that a cluster writes.
type workdir struct {
	path string
	// made says that the folder was not there before.
	made bool
	lock *os.File
}

// openWorkdir takes path, or a new temporary folder for "". A folder that is
// there already must be empty or left over from a cluster that was killed.
func openWorkdir(path string) (*workdir, error) {
	if path == "" {
		made, err := os.MkdirTemp("", "devcluster-")
		if err != nil {
			return nil, fmt.Errorf("cluster folder: %w", err)
		}
		d := &workdir{path: made, made: true}
		return d, d.acquire()
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cluster folder: %w", err)
	}
	d := &workdir{path: path}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.made = true
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("cluster folder: %w", err)
		}
	case err != nil:
		return nil, fmt.Errorf("cluster folder: %w", err)
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(path, lockName)); err != nil {
			return nil, fmt.Errorf("cluster folder %s holds other files; give an empty or a new one", path)
		}
	}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	// What a killed cluster left.
	return d, d.empty(lockName)
}

func (d *workdir) acquire() error {
	lock, err := os.OpenFile(d.file(lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cluster folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return fmt.Errorf("cluster folder %s is in use by another cluster; give another one: %w", d.path, err)
	}
	d.lock = lock
	return nil
}

// file is the path of name in the folder.
func (d *workdir) file(name string) string { return filepath.Join(d.path, name) }

// Remove deletes everything in the folder, and the folder if it was made here.
func (d *workdir) Remove() error {
	defer d.lock.Close()
	if d.made {
		if err := os.RemoveAll(d.path); err != nil {
			return fmt.Errorf("cluster folder: %w", err)
		}
		return nil
	}
	return d.empty("")
}

// empty deletes the folder's entries but keep.
func (d *workdir) empty(keep string) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("cluster folder: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == keep {
			continue
		}
		if err := os.RemoveAll(d.file(entry.Name())); err != nil {
			return fmt.Errorf("cluster folder: %w", err)
		}
	}
	return nil
}
