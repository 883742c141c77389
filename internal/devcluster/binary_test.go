package devcluster

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCachedBuildsOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	var builds atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			path, err := cached(t.Context(), dir, "k", io.Discard, func(path string) error {
				builds.Add(1)
				time.Sleep(20 * time.Millisecond)
				return os.WriteFile(path, []byte("binary"), 0o700)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != "binary" {
				t.Errorf("a caller got half a binary: %q, %v", data, err)
			}
		})
	}
	group.Wait()
	if builds.Load() != 1 {
		t.Errorf("built %d times", builds.Load())
	}
}

func TestCachedAfterFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := errors.New("does not compile")
	_, err := cached(t.Context(), dir, "k", io.Discard, func(path string) error {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, binaryPrefix+"*")); len(left) > 0 {
		t.Errorf("a failed build left %v", left)
	}
}

func TestRemoveUnused(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{"new": time.Hour, "old": keepUnused + time.Hour, "mine": 2 * keepUnused} {
		path := filepath.Join(dir, binaryPrefix+name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeUnused(dir, filepath.Join(dir, binaryPrefix+"mine"), now); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left %v, %v; want mine and new", left, err)
	}
}

func TestKeyFollowsTheSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := func() string {
		t.Helper()
		from, err := newSource(dir)
		if err != nil {
			t.Fatal(err)
		}
		key, err := from.key(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write("go.mod", "module x\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n")
	write("main.go", "package main")
	first := key()
	if key() != first {
		t.Error("the key of the same source changed")
	}
	write("main_test.go", "package main")
	if key() != first {
		t.Error("a test changed the key: it is not in the binary")
	}
	write("embedded.yaml", "a: b")
	second := key()
	if second == first {
		t.Error("a file that may be embedded did not change the key")
	}
	write("go.mod", "module x\nrequire (\n\tk8s.io/kubernetes v1.38.0\n)\n")
	if key() == second {
		t.Error("another Kubernetes did not change the key")
	}
	from, err := newSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(from.flags(), " "); !strings.Contains(got, "gitVersion=v1.38.0") || !strings.Contains(got, "gitMinor=38") {
		t.Errorf("flags %s", got)
	}
}

func TestFindSource(t *testing.T) {
	from, err := findSource()
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(from.dir) != "devcluster" || !strings.HasPrefix(from.version, "v1.") {
		t.Errorf("found %+v", from)
	}
	t.Chdir(t.TempDir())
	if from, err := findSource(); err == nil {
		t.Errorf("found %+v outside of the repository", from)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		options Options
		want    string
	}{
		{Options{}, "up --until-stdin-closes --gpu-nodes=4 --cpu-nodes=1"},
		{Options{GPUNodes: -1, CPUNodes: 3, Components: []string{}}, "up --until-stdin-closes --gpu-nodes=0 --cpu-nodes=3 --components=none"},
		{
			Options{Components: []string{KWOK, Scheduler}, APIServerArgs: []string{"--v=1", "--watch-cache=false"}},
			"up --until-stdin-closes --gpu-nodes=4 --cpu-nodes=1 --components=kwok,kube-scheduler --apiserver-arg=--v=1 --apiserver-arg=--watch-cache=false",
		},
	} {
		if got := strings.Join(tc.options.args(), " "); got != tc.want {
			t.Errorf("%+v:\n got %s\nwant %s", tc.options, got, tc.want)
		}
	}
}
