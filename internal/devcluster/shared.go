package devcluster

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// KubeconfigEnv names the kubeconfig of a cluster that test packages attach to
// instead of starting their own.
const KubeconfigEnv = "KUBEFOUNDRY_DEVCLUSTER_KUBECONFIG"

// startTimeout bounds a start with the first build on a busy machine.
const startTimeout = 25 * time.Minute

// Shared is the one cluster of a package's tests. It starts when the first test
// asks for it. The zero value is ready to use; Options are set before that.
type Shared struct {
	// Options of the cluster, if it is started here.
	Options Options

	start   sync.Once
	cluster *Cluster
	err     error
}

// Cluster returns the cluster. With -short the test is skipped: it needs too
// much for that.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	s.start.Do(func() {
		if kubeconfig := os.Getenv(KubeconfigEnv); kubeconfig != "" {
			s.cluster, s.err = Attach(kubeconfig)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		s.cluster, s.err = Start(ctx, s.Options)
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cluster
}

// Runner runs a package's tests and then stops the cluster, if one was started.
type Runner struct {
	shared *Shared
	tests  *testing.M
}

// Runner is for TestMain: os.Exit(shared.Runner(m).Run()), or
// goleak.VerifyTestMain(shared.Runner(m)).
func (s *Shared) Runner(m *testing.M) Runner { return Runner{shared: s, tests: m} }

// Run returns the exit status.
func (r Runner) Run() int {
	code := r.tests.Run()
	if r.shared.cluster == nil {
		return code
	}
	if err := r.shared.cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
