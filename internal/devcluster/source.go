package devcluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const rootModule = "module github.com/kubefoundry/kubefoundry\n"

// source is the module that the binary is built from.
type source struct {
	dir string
	// version of Kubernetes that the module requires, "v1.37.2"
	version string
}

// findSource looks for the repository from the working directory upwards: tests
// run in the folder of their package.
func findSource() (source, error) {
	start, err := os.Getwd()
	if err != nil {
		return source{}, fmt.Errorf("devcluster source: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), rootModule) {
			return newSource(filepath.Join(dir, "devcluster"))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return source{}, fmt.Errorf("devcluster source: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return source{}, fmt.Errorf("devcluster source: %s is not inside the repository, which a cluster is built from", start)
		}
	}
}

func newSource(dir string) (source, error) {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return source{}, fmt.Errorf("devcluster source: %w", err)
	}
	found := regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+)`).FindSubmatch(mod)
	if found == nil {
		return source{}, fmt.Errorf("devcluster source: %s/go.mod does not require k8s.io/kubernetes", dir)
	}
	return source{dir: dir, version: string(found[1])}, nil
}

// flags of the build. They stay the same everywhere: a build without -trimpath
// shares nothing in Go's cache with one that has it, and compiles all of
// Kubernetes again. Without the version, the API server calls itself v0.0.0 and
// kubectl complains.
func (s source) flags() []string {
	numbers := strings.SplitN(strings.TrimPrefix(s.version, "v"), ".", 3)
	const pkg = "k8s.io/component-base/version."
	return []string{
		"-trimpath", "-buildvcs=false", "-ldflags",
		fmt.Sprintf("-s -w -X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=%[3]s -X %[1]sgitMinor=%[4]s", pkg, s.version, numbers[0], numbers[1]),
	}
}

// key names what a build of the source gives: its files but tests, the flags and
// the compiler.
func (s source) key(ctx context.Context) (string, error) {
	sum := sha256.New()
	compiler, err := exec.CommandContext(ctx, "go", "version").Output()
	if err != nil {
		return "", fmt.Errorf("devcluster source: go version (is Go installed?): %w", err)
	}
	fmt.Fprintf(sum, "%s%q", compiler, s.flags())
	err = filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		name, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(data))
		sum.Write(data)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("devcluster source: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}
