package devcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	binaryPrefix = "devcluster-"
	lockName     = "devcluster.lock"
	// keepUnused is how long the binary of another version of the source stays:
	// long enough to go back and forth between branches.
	keepUnused = 7 * 24 * time.Hour
)

// Binary returns the path of the devcluster binary for the source in this
// repository, and builds it if the cache does not have it. It tells progress
// what it does if that takes time.
func Binary(ctx context.Context, progress io.Writer) (string, error) {
	from, err := findSource()
	if err != nil {
		return "", err
	}
	key, err := from.key(ctx)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("devcluster binary: %w", err)
	}
	return cached(ctx, filepath.Join(cache, "kubefoundry"), key, progress, func(path string) error {
		return build(ctx, from, path, progress)
	})
}

// cached returns the binary called key in dir and has it built to a path, once
// among all processes, if it is not there.
func cached(ctx context.Context, dir, key string, progress io.Writer, build func(path string) error) (string, error) {
	path := filepath.Join(dir, binaryPrefix+key)
	if use(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("devcluster binary: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, lockName), progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another process may have built it while this one waited.
	if use(path) {
		return path, nil
	}
	// In the same folder, so that the rename is atomic: the name appears with the
	// whole file behind it or not at all.
	half := path + ".tmp"
	defer os.Remove(half)
	if err := build(half); err != nil {
		return "", err
	}
	if err := os.Rename(half, path); err != nil {
		return "", fmt.Errorf("devcluster binary: %w", err)
	}
	return path, removeUnused(dir, path, time.Now())
}

// use marks a binary as used now and reports whether it is there.
func use(path string) bool {
	now := time.Now()
	return os.Chtimes(path, now, now) == nil
}

// lock takes the file lock at path. It polls, because a blocked flock cannot be
// called off.
func lock(ctx context.Context, path string, progress io.Writer) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("devcluster binary: lock: %w", err)
	}
	for told := false; ; {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("devcluster binary: lock %s: %w", path, err)
		}
		if !told {
			told = true
			fmt.Fprintln(progress, "devcluster: another process is building the binary; waiting for it")
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("devcluster binary: wait for another build: %w", context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// build compiles the source to path.
func build(ctx context.Context, from source, path string, progress io.Writer) error {
	begun := time.Now()
	fmt.Fprintf(progress, "devcluster: building Kubernetes %s from source. The first time this takes about 6 minutes on "+
		"two cores and downloads 140 MB; later builds take seconds.\n", from.version)
	command := exec.CommandContext(ctx, "go", append(append([]string{"build"}, from.flags()...), "-o", path, ".")...)
	command.Dir = from.dir
	// The caller's flags are for the caller's module.
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(30 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				fmt.Fprintf(progress, "devcluster: still building (%s)\n", time.Since(begun).Round(time.Second))
			}
		}
	}()
	err := command.Run()
	close(stop)
	if err != nil {
		return fmt.Errorf("devcluster binary: go build in %s: %w\n%s", from.dir, err, output.String())
	}
	fmt.Fprintf(progress, "devcluster: built in %s\n", time.Since(begun).Round(time.Second))
	return nil
}

// removeUnused deletes binaries of other keys that nobody has used for a week.
func removeUnused(dir, keep string, now time.Time) error {
	paths, err := filepath.Glob(filepath.Join(dir, binaryPrefix+"*"))
	if err != nil {
		return fmt.Errorf("devcluster binary: %w", err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || path == keep || now.Sub(info.ModTime()) < keepUnused {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("devcluster binary: remove old one: %w", err)
		}
	}
	return nil
}
