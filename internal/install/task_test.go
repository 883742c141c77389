package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

// process is what a server would be: it may die, and then nothing of it reaches the cluster any more.
type process struct {
	*operations.Runner
	config *rest.Config
	dead   *atomic.Bool
	end    context.CancelFunc
	ended  chan struct{}
}

type mortal struct {
	http.RoundTripper
	dead *atomic.Bool
}

var errDead = errors.New("this process is dead")

func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	return m.RoundTripper.RoundTrip(r)
}

func newProcess(t *testing.T, namespace string) *process {
	t.Helper()
	p := &process{config: shared.Cluster(t).Config(), dead: &atomic.Bool{}, ended: make(chan struct{})}
	p.config.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return mortal{next, p.dead} }
	own := rest.CopyConfig(p.config)
	own.QPS = -1
	client, err := kubernetes.NewForConfig(own)
	require.NoError(t, err)
	p.Runner = operations.New(operations.Options{Client: client, Namespace: namespace, Lease: 1200 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p.end = cancel
	go func() {
		defer close(p.ended)
		_ = p.Run(ctx)
	}()
	t.Cleanup(p.close)
	return p
}

// close ends the process in order.
func (p *process) close() {
	p.Close()
	p.end()
	<-p.ended
}

// kill ends it in no order.
func (p *process) kill() {
	p.dead.Store(true)
	p.end()
	<-p.ended
	go p.Close()
}

// over waits until nothing runs on a target, and returns how the last operation ended.
func (p *process) over(t *testing.T, target string) (last api.Operation) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		last, err = p.Last(t.Context(), "", target)
		require.NoError(t, err)
		return last.Id == "" || operations.Over(last)
	}, patience, 20*time.Millisecond)
	return last
}

// do runs a task to its end.
func (p *process) do(t *testing.T, task operations.Task) api.Operation {
	t.Helper()
	op, _, err := p.Start(t.Context(), task)
	require.NoError(t, err)
	op, err = p.Wait(t.Context(), op.Id)
	require.NoError(t, err)
	return op
}

// small is a product of the test's own.
func small(t *testing.T, repo *repository, id string) (*Installer, Product) {
	t.Helper()
	i, err := New(Options{Ready: 20 * time.Second})
	require.NoError(t, err)
	p := Product{
		ID: id, Name: "Small", Namespace: id, Version: "1.0.0", groups: map[string]string{id + ".example": ""},
		charts: []chart{{source: "own", name: "small", release: "small", namespace: id}},
	}
	i.products, i.sources = []Product{p}, map[string]string{"own": repo.URL + "/charts"}
	return i, p
}

func smallChart(version string, more map[string]string) map[string]string {
	files := operatorChart(version, more)
	delete(files, "templates/role.yaml")
	delete(files, "crds/rayservices.yaml")
	return files
}

func (w world) gone(namespace string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return !w.exists(func() error {
			_, err := w.kube.CoreV1().Namespaces().Get(w.t.Context(), namespace, metav1.GetOptions{})
			return err
		})
	}, patience, 50*time.Millisecond)
}

func TestCancelledInTheMiddle(t *testing.T) {
	w, repo, id := newWorld(t), newRepository(t), "small-cancel"
	i, p := small(t, repo, id)
	repo.chart(t, "small", "1.0.0", smallChart("1.0.0", blockedHook))
	own := devcluster.Namespace(t, shared.Cluster(t))
	a, b := newProcess(t, own), newProcess(t, own)
	op, started, err := a.Start(t.Context(), i.Install(a.config, p, "jane", false, false))
	require.NoError(t, err)
	require.True(t, started)
	require.Eventually(t, func() bool { return w.releases(id)["small.1"] == "pending-install" }, patience, 20*time.Millisecond)

	// From another replica: the same is joined, something else is refused, and it may be cancelled.
	same, started, err := b.Start(t.Context(), i.Install(b.config, p, "joe", false, false))
	require.NoError(t, err)
	require.False(t, started)
	require.Equal(t, op.Id, same.Id)
	_, _, err = b.Start(t.Context(), i.Uninstall(b.config, p, "joe"))
	require.ErrorContains(t, err, op.Id)
	_, err = b.Cancel(t.Context(), op.Id, "joe")
	require.NoError(t, err)
	op = b.over(t, id)
	require.Equal(t, api.OperationPhaseCancelled, op.Phase, op.Message)
	require.Equal(t, "joe", op.CancelledBy)
	require.Empty(t, w.releases(id), "the release that was half done is undone")
	_, err = b.Cancel(t.Context(), op.Id, "joe")
	require.ErrorContains(t, err, "is over")

	// Ended in order, an operation is interrupted at once.
	_, _, err = a.Start(t.Context(), i.Install(a.config, p, "jane", false, false))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.releases(id)["small.1"] == "pending-install" }, patience, 20*time.Millisecond)
	a.Close()
	last, err := b.Last(t.Context(), "", id)
	require.NoError(t, err)
	require.Equal(t, api.OperationPhaseInterrupted, last.Phase)

	require.Equal(t, api.OperationPhaseSucceeded, b.do(t, i.Uninstall(b.config, p, "joe")).Phase)
	w.gone(id)
}

func TestNamespaceWithSomethingElseInItStays(t *testing.T) {
	w, repo, id := newWorld(t), newRepository(t), "small-stays"
	i, p := small(t, repo, id)
	// Its definition is among its templates, where Helm would delete it, and with it all that there is.
	repo.chart(t, "small", "1.0.0", smallChart("1.0.0", map[string]string{"templates/crd.yaml": crdFile(id+".example", "gems", "Gem")}))
	process := newProcess(t, devcluster.Namespace(t, shared.Cluster(t)))
	op := process.do(t, i.Install(process.config, p, "jane", false, false))
	require.Equal(t, api.OperationPhaseSucceeded, op.Phase, op.Message)
	require.Contains(t, step(op, "ready").Message, "1 of 1 are ready")
	_, err := w.kube.CoreV1().ConfigMaps(id).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "somebody-elses"}}, metav1.CreateOptions{})
	require.NoError(t, err)

	op = process.do(t, i.Uninstall(process.config, p, "jane"))
	require.Equal(t, api.OperationPhaseSucceeded, op.Phase, op.Message)
	var result struct{ Namespace Namespace }
	require.NoError(t, json.Unmarshal(op.Result, &result))
	require.False(t, result.Namespace.Deleted)
	require.Equal(t, []string{"configmaps somebody-elses"}, result.Namespace.Left)
	require.Empty(t, w.releases(id))
	require.NoError(t, w.established(t.Context(), "gems."+id+".example"), "definitions stay")

	loss, err := i.Loss(t.Context(), process.config, p)
	require.NoError(t, err)
	require.Zero(t, loss.Total)
	require.Equal(t, api.OperationPhaseSucceeded, process.do(t, i.RemoveCRDs(process.config, p, "jane", loss)).Phase)
	require.NoError(t, w.kube.CoreV1().ConfigMaps(id).Delete(t.Context(), "somebody-elses", metav1.DeleteOptions{}))
	op = process.do(t, i.Uninstall(process.config, p, "jane"))
	require.Contains(t, op.Message, "was not installed by Helm")
	w.gone(id)
}

func TestWhoMayNotIsTold(t *testing.T) {
	repo, id := newRepository(t), "small-forbidden"
	i, p := small(t, repo, id)
	repo.chart(t, "small", "1.0.0", smallChart("1.0.0", nil))
	own := devcluster.Namespace(t, shared.Cluster(t))
	process := newProcess(t, own)
	nobody := shared.Cluster(t).ServiceAccount(t, own, "nobody")
	op := process.do(t, i.Install(nobody.Config(), p, nobody.Name, false, false))
	require.Equal(t, api.OperationPhaseFailed, op.Phase)
	require.Equal(t, api.ErrorCodeForbidden, op.Code, op.Message)
	require.Contains(t, op.Message, "nobody")
	releases, err := i.Releases(t.Context(), nobody.Config(), p)
	require.NoError(t, err)
	require.Equal(t, StatusUnknown, releases[0].Status, "unknown is not absent")
	_, err = i.Loss(t.Context(), nobody.Config(), p)
	require.True(t, isForbidden(err), "%v", err)
}

// TestKaito is an installation with definitions from elsewhere, some of which are somebody else's.
func TestKaito(t *testing.T) {
	w, repo := newWorld(t), newRepository(t)
	i, err := New(Options{Ready: 20 * time.Second, Sources: map[string]string{
		"kaito": "oci" + repo.URL[len("http"):] + "/charts", "kaito-crds": repo.URL + "/kaito/v{version}", "karpenter-crds": repo.URL + "/karpenter",
	}})
	require.NoError(t, err)
	repo.file("/karpenter/karpenter.sh_nodeclaims.yaml", crdFile("karpenter.sh", "nodeclaims", "NodeClaim"))
	repo.file("/karpenter/karpenter.sh_nodepools.yaml", crdFile("karpenter.sh", "nodepools", "NodePool"))
	repo.file("/kaito/v0.8.0/kaito.sh_workspaces.yaml", crdFile("kaito.sh", "workspaces", "Workspace"))
	repo.chart(t, "workspace", "0.8.0", smallChart("0.8.0", map[string]string{"crds/never.yaml": crdFile("never.example", "nevers", "Never")}))
	p, _ := i.Product("kaito")
	process := newProcess(t, devcluster.Namespace(t, shared.Cluster(t)))

	op := process.do(t, i.Install(process.config, p, "jane", false, false))
	require.Equal(t, api.OperationPhaseFailed, op.Phase)
	require.Equal(t, api.ErrorCodeUnavailable, op.Code)
	require.Contains(t, op.Message, "kaito.sh_inferencesets.yaml: it answers 404")
	require.False(t, w.exists(func() error {
		_, err := w.kube.CoreV1().Namespaces().Get(t.Context(), p.Namespace, metav1.GetOptions{})
		return err
	}), "nothing is begun before everything is here")

	repo.file("/kaito/v0.8.0/kaito.sh_inferencesets.yaml", crdFile("kaito.sh", "inferencesets", "InferenceSet"))
	op = process.do(t, i.Install(process.config, p, "jane", false, false))
	require.Equal(t, api.OperationPhaseSucceeded, op.Phase, op.Message)
	require.InDelta(t, 1.0, op.Progress, 0)
	require.NoError(t, w.established(t.Context(), "workspaces.kaito.sh"))
	require.False(t, w.exists(func() error {
		_, err := w.dynamic.Resource(crdResource).Get(t.Context(), "nevers.never.example", metav1.GetOptions{})
		return err
	}))
	op = process.do(t, i.Install(process.config, p, "jane", false, false))
	require.Contains(t, step(op, "install-kaito-workspace").Message, "Is there already", "it is safe to repeat")
	require.Equal(t, map[string]string{"kaito-workspace.1": "deployed"}, w.releases(p.Namespace))
	require.Equal(t, api.OperationPhaseSucceeded, process.do(t, i.Uninstall(process.config, p, "jane")).Phase)
	w.gone(p.Namespace)
	loss, err := i.Loss(t.Context(), process.config, p)
	require.NoError(t, err)
	require.Len(t, loss.CRDs, 2, "Karpenter's are not KAITO's")
	require.Equal(t, api.OperationPhaseSucceeded, process.do(t, i.RemoveCRDs(process.config, p, "jane", loss)).Phase)
}

// TestWhateverHappens: starts, cancels and deaths in any order end in a state that is told as it is, and from which it goes on.
func TestWhateverHappens(t *testing.T) {
	const runs, steps = 2, 6
	w, repo := newWorld(t), newRepository(t)
	repo.chart(t, "small", "1.0.0", smallChart("1.0.0", nil))
	repo.chart(t, "small", "2.0.0", smallChart("2.0.0", nil))
	own := devcluster.Namespace(t, shared.Cluster(t))
	for n := range runs {
		seed := rand.Uint64() //nolint:gosec // no secret
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := world{t, w.access}
			random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
			id := fmt.Sprintf("small-%d-%d", n, seed%1000)
			i, p := small(t, repo, id)
			process := newProcess(t, own)
			for range steps {
				switch random.IntN(6) {
				case 0, 1:
					_, _, _ = process.Start(t.Context(), i.Install(process.config, p, "jane", false, false))
				case 2:
					_, _, _ = process.Start(t.Context(), i.Install(process.config, p.At("2.0.0"), "jane", true, false))
				case 3:
					_, _, _ = process.Start(t.Context(), i.Uninstall(process.config, p, "jane"))
				case 4:
					if last, err := process.Last(t.Context(), "", id); err == nil && last.Id != "" {
						_, _ = process.Cancel(t.Context(), last.Id, "jane")
					}
				case 5:
					process.kill()
					process = newProcess(t, own)
				}
				time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond)
			}
			last := process.over(t, id)
			t.Logf("last: %s %s %s", last.Kind, last.Phase, last.Message)
			switch {
			case last.Phase == api.OperationPhaseSucceeded && last.Kind == api.OperationKindUninstall:
				require.Empty(t, w.releases(id))
			case last.Phase == api.OperationPhaseSucceeded:
				newest := ""
				for _, status := range w.releases(id) {
					require.NotContains(t, status, "pending")
					if status == "deployed" {
						newest = status
					}
				}
				require.NotEmpty(t, newest)
			}
			// A namespace that is going away takes an installation with it, and says so.
			require.Eventually(t, func() bool {
				return process.do(t, i.Install(process.config, p.At("2.0.0"), "jane", true, false)).Phase == api.OperationPhaseSucceeded
			}, patience, 500*time.Millisecond)
			deployed := 0
			for _, status := range w.releases(id) {
				require.NotContains(t, status, "pending")
				if status == "deployed" {
					deployed++
				}
			}
			require.Equal(t, 1, deployed)
			require.False(t, w.exists(func() error {
				_, err := w.kube.CoreV1().ConfigMaps(id).Get(t.Context(), "of-1-0-0", metav1.GetOptions{})
				return err
			}), "nothing is left of another version")
			op := process.do(t, i.Uninstall(process.config, p, "jane"))
			require.Equal(t, api.OperationPhaseSucceeded, op.Phase, op.Message)
			w.gone(id)
		})
	}
}
