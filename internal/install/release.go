package install

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/kubefoundry/kubefoundry/api"
)

// labelOperation is on Helm's record of a release that this package made: the operation that did.
const labelOperation = "kubefoundry.io/operation-id"

// How long a release may be pending, by somebody else's hand, before it is taken for forgotten; and how long a hook may take.
const (
	forgottenAfter = 15 * time.Minute
	hookTime       = 5 * time.Minute
)

// helm is Helm for one release.
type helm struct {
	*access
	*action.Configuration
	chart chart
	heard *heard
	waits []kube.WaitOption
}

// release makes Helm ready. Hooks are waited for as long as ctx lasts.
func (a *access) release(ctx context.Context, c chart) (*helm, error) {
	configuration, err := a.helm(c.namespace)
	if err != nil {
		return nil, err
	}
	h := &helm{a, configuration, c, &heard{}, []kube.WaitOption{kube.WithWaitContext(ctx)}}
	configuration.SetLogger(h.heard)
	return h, nil
}

// history is all records of the release, the newest last; none where there is no such release.
func (h *helm) history() ([]*release.Release, error) {
	found, err := h.Releases.History(h.chart.release)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	records := make([]*release.Release, 0, len(found))
	for _, one := range found {
		if r, ok := one.(*release.Release); ok && r.Info != nil {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b *release.Release) int { return a.Version - b.Version })
	return records, nil
}

func (h *helm) last() (*release.Release, error) {
	records, err := h.history()
	if err != nil || len(records) == 0 {
		return nil, err
	}
	return records[len(records)-1], nil
}

func ours(r *release.Release) bool { return r.Labels[labelOperation] != "" }

// abandoned tells whether nobody is at a release that is pending.
func abandoned(r *release.Release) bool {
	return ours(r) || time.Since(r.Info.LastDeployed) > forgottenAfter
}

// recover brings a release that was left half done into a state to go on from: gone, where it never was done, or as it was
// before. It says what it did.
func (h *helm) recover(ctx context.Context, force bool) (string, error) {
	records, err := h.history()
	if err != nil || len(records) == 0 {
		return "", err
	}
	last := records[len(records)-1]
	good := lastGood(records)
	status := last.Info.Status
	switch {
	case status == common.StatusDeployed:
		return "", nil
	case status.IsPending() && !abandoned(last):
		return "", api.Errorf(api.ErrorCodeConflict, "release %s/%s is %s since %s, by somebody else's hand: wait for its end, or try again in %s",
			h.chart.namespace, last.Name, status, last.Info.LastDeployed.UTC().Format(time.TimeOnly), forgottenAfter)
	case status == common.StatusFailed && !ours(last) && !force:
		return "", api.Errorf(api.ErrorCodeConflict, "release %s/%s has failed, and was not made here: %s. Look at it with helm status, or try again with force=true, which takes it away first",
			h.chart.namespace, last.Name, short(last.Info.Description))
	case status == common.StatusFailed && good != nil:
		return "", nil // Helm goes on from the last good one
	case status.IsPending() && good != nil:
		if err := h.rollBack(ctx, good.Version); err != nil {
			return "", err
		}
		return fmt.Sprintf("It was left %s, and is rolled back to revision %d. ", status, good.Version), nil
	}
	if _, err := h.uninstall(ctx, true); err != nil {
		return "", err
	}
	return fmt.Sprintf("It was left %s, and what there was of it is taken away. ", status), nil
}

// rollBack brings the release back to a revision. Revisions that were left half done are said to have failed, which Helm would
// leave pending for ever.
func (h *helm) rollBack(ctx context.Context, version int) error {
	records, err := h.history()
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Info.Status.IsPending() {
			r.SetStatus(common.StatusFailed, "Interrupted")
			if err := h.Releases.Update(r); err != nil {
				return fmt.Errorf("release %s: %w", r.Name, err)
			}
			if err := h.deleteHooks(ctx, r, kindsOfHooks[:2]); err != nil {
				return err
			}
		}
	}
	back := action.NewRollback(h.Configuration)
	back.Version, back.Timeout, back.WaitStrategy, back.WaitOptions = version, hookTime, kube.HookOnlyStrategy, h.waits
	back.DisableHooks = true // they are for what is being left
	if err := h.retried(ctx, func() error { return back.Run(h.chart.release) }); err != nil {
		return fmt.Errorf("roll back %s: %w", h.chart.release, h.explained(err))
	}
	return nil
}

func lastGood(records []*release.Release) *release.Release {
	for _, r := range slices.Backward(records) {
		if r.Info.Status == common.StatusDeployed || r.Info.Status == common.StatusSuperseded {
			return r
		}
	}
	return nil
}

// put installs the release, or brings it up to date where upgrade says so. It says what it did. Nothing ends it half way but
// the end of this process: once begun it takes as long as the cluster takes to store the objects, and its hooks to run.
func (h *helm) put(ctx context.Context, c *v2.Chart, operation string, upgrade bool) (string, error) {
	last, err := h.last()
	if err != nil {
		return "", err
	}
	labels := map[string]string{labelOperation: operation}
	if last == nil {
		do := action.NewInstall(h.Configuration)
		do.ReleaseName, do.Namespace, do.SkipCRDs, do.Labels = h.chart.release, h.chart.namespace, h.chart.skipCRDs, labels
		do.Timeout, do.WaitStrategy, do.WaitOptions = hookTime, kube.HookOnlyStrategy, h.waits
		if _, err := do.RunWithContext(context.WithoutCancel(ctx), c, values(h.chart)); err != nil {
			return "", h.explained(err)
		}
		return "Installed " + c.Metadata.Version, nil
	}
	same := last.Info.Status == common.StatusDeployed && last.Chart != nil && last.Chart.Metadata != nil &&
		last.Chart.Metadata.Version == c.Metadata.Version && reflect.DeepEqual(plain(last.Config), plain(h.chart.values))
	if same {
		return "Is there already, in version " + c.Metadata.Version, nil
	}
	if last.Info.Status == common.StatusDeployed && !upgrade {
		return fmt.Sprintf("Is there already, in version %s; an upgrade would make it %s", last.Chart.Metadata.Version, c.Metadata.Version), nil
	}
	do := action.NewUpgrade(h.Configuration)
	do.Namespace, do.SkipCRDs, do.Labels, do.MaxHistory, do.ResetValues = h.chart.namespace, h.chart.skipCRDs, labels, 10, true
	do.Timeout, do.WaitStrategy, do.WaitOptions = hookTime, kube.HookOnlyStrategy, h.waits
	if _, err := do.RunWithContext(context.WithoutCancel(ctx), h.chart.release, c, values(h.chart)); err != nil {
		return "", h.explained(err)
	}
	return "Upgraded to " + c.Metadata.Version, nil
}

// values are copied, for Helm writes into them.
func values(c chart) map[string]any {
	if c.values == nil {
		return map[string]any{}
	}
	copied, _ := copyOf(c.values).(map[string]any)
	return copied
}

func copyOf(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = copyOf(value)
	}
	return out
}

// plain makes an empty map of none.
func plain(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// uninstall takes the release away, but for its CustomResourceDefinitions. It says what is left of it.
func (h *helm) uninstall(ctx context.Context, unfinished bool) (string, error) {
	records, err := h.history()
	if err != nil || len(records) == 0 {
		return "", err
	}
	last := records[len(records)-1]
	definitions, err := h.keepDefinitions(last)
	if err != nil {
		return "", err
	}
	do := action.NewUninstall(h.Configuration)
	do.Timeout, do.WaitStrategy, do.WaitOptions = hookTime, kube.HookOnlyStrategy, h.waits
	do.IgnoreNotFound = true
	do.DisableHooks = unfinished // they are for what was there
	var left string
	err = h.retried(ctx, func() error {
		gone, err := do.Run(last.Name)
		if gone != nil {
			left = gone.Info
		}
		return h.explained(err)
	})
	if err != nil {
		return "", err
	}
	for _, r := range records {
		if err := h.deleteHooks(ctx, r, kindsOfHooks); err != nil {
			return "", err
		}
	}
	var notes []string
	if definitions > 0 {
		notes = append(notes, fmt.Sprintf("%d CustomResourceDefinitions stay, with all that there is of them", definitions))
	}
	if strings.Contains(left, "not deleted because") {
		notes = append(notes, short(left))
	}
	return strings.Join(notes, ". "), nil
}

// keepDefinitions sees to it that Helm leaves CustomResourceDefinitions alone, which charts may have among their templates:
// every deployment would go with them.
func (h *helm) keepDefinitions(r *release.Release) (count int, err error) {
	documents := strings.Split("\n"+r.Manifest, "\n---")
	changed := false
	for at, document := range documents {
		var o unstructured.Unstructured
		if yaml.Unmarshal([]byte(document), &o.Object) != nil || o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		count++
		annotations := o.GetAnnotations()
		if annotations[kube.ResourcePolicyAnno] == kube.KeepPolicy {
			continue
		}
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[kube.ResourcePolicyAnno] = kube.KeepPolicy
		o.SetAnnotations(annotations)
		b, err := o.MarshalJSON() // which is YAML
		if err != nil {
			return 0, fmt.Errorf("release %s: %w", r.Name, err)
		}
		documents[at], changed = "\n"+string(b), true
	}
	if changed {
		r.Manifest = strings.Join(documents, "\n---")
		if err := h.Releases.Update(r); err != nil {
			return 0, err
		}
	}
	return count, nil
}

// kindsOfHooks are those that are deleted with a release, for Helm leaves what its hooks made. The first two only run.
var kindsOfHooks = []string{"Job", "Pod", "ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}

func (h *helm) deleteHooks(ctx context.Context, r *release.Release, kinds []string) error {
	for _, hook := range r.Hooks {
		var o unstructured.Unstructured
		if yaml.Unmarshal([]byte(hook.Manifest), &o.Object) != nil || !slices.Contains(kinds, o.GetKind()) || hook.LastRun.StartedAt.IsZero() ||
			o.GetAnnotations()[kube.ResourcePolicyAnno] == kube.KeepPolicy {
			continue
		}
		client, err := h.client(o.GroupVersionKind(), o.GetNamespace(), h.chart.namespace)
		if err != nil {
			return err
		}
		background := metav1.DeletePropagationBackground
		err = client.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s, which a hook made: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// client is for objects of a kind, in a namespace where they have one.
func (a *access) client(kind schema.GroupVersionKind, namespace, otherwise string) (dynamic.ResourceInterface, error) {
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Kind, err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return a.dynamic.Resource(mapping.Resource), nil
	}
	if namespace == "" {
		namespace = otherwise
	}
	return a.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// retried does it again where the API server was away for a moment.
func (h *helm) retried(ctx context.Context, do func() error) error {
	err := do()
	for wait := time.Second; err != nil && wait < 8*time.Second && isTransient(err); wait *= 2 {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		err = do()
	}
	return err
}

func isTransient(err error) bool {
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}

// explained adds to an error of Helm's what Helm only wrote to its log.
func (h *helm) explained(err error) error {
	if err == nil {
		return nil
	}
	if cause := h.heard.last(); cause != nil && !strings.Contains(err.Error(), cause.Error()) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// heard is a log that remembers the last error that was written to it.
type heard struct {
	mu  sync.Mutex
	err error
}

func (h *heard) last() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *heard) Enabled(context.Context, slog.Level) bool { return true }

func (h *heard) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "error" {
			return true
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		switch v := a.Value.Any().(type) {
		case error:
			h.err = v
		case []error:
			h.err = errors.Join(v...)
		}
		return false
	})
	return nil
}

func (h *heard) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *heard) WithGroup(string) slog.Handler { return h }

// short is a text for a line.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
