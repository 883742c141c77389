package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/operations"
)

// Limits of whole operations.
const (
	installTime   = 30 * time.Minute
	uninstallTime = 15 * time.Minute
)

// Names of steps, the same in every operation.
const (
	stepDownload  = "download"
	stepNamespace = "namespace"
	stepReady     = "ready"
)

func stepCRD(file string) string          { return "apply-crd-" + file }
func stepInstall(release string) string   { return "install-" + release }
func stepUninstall(release string) string { return "uninstall-" + release }
func stepRemove(definition string) string { return "remove-" + definition }

// Install is the operation that installs a product, or with upgrade brings it to its version. force takes away releases that
// have failed by somebody else's hand.
func (i *Installer) Install(config *rest.Config, p Product, by string, upgrade, force bool) operations.Task {
	task := operations.Task{
		Kind: api.OperationKindInstall, Target: p.ID, Version: p.Version, StartedBy: by, Limit: installTime + i.ready,
		Steps: []string{stepDownload, stepNamespace},
		Run: func(ctx context.Context, progress *operations.Progress) error {
			return i.install(ctx, config, p, progress, upgrade, force)
		},
	}
	if upgrade {
		task.Kind = api.OperationKindUpgrade
	}
	for _, m := range p.manifests {
		task.Steps = append(task.Steps, stepCRD(m.file))
	}
	for _, c := range p.charts {
		task.Steps = append(task.Steps, stepInstall(c.release))
	}
	task.Steps = append(task.Steps, stepReady)
	return task
}

// downloaded is everything that an installation needs from elsewhere.
type downloaded struct {
	charts    []*v2.Chart
	manifests [][]*unstructured.Unstructured
}

func (i *Installer) download(ctx context.Context, p Product, say func(string, ...any)) (downloaded, error) {
	var d downloaded
	for _, m := range p.manifests {
		address := i.address(m.source, p.Version) + "/" + m.file
		say("%s", m.file)
		b, err := get(ctx, address, maxManifest)
		if err != nil {
			return d, err
		}
		all, err := definitions(m.file, b)
		if err != nil {
			return d, err
		}
		d.manifests = append(d.manifests, all)
	}
	for _, c := range p.charts {
		say("chart %s %s", c.name, p.Version)
		loaded, err := i.fetch(ctx, c, p.Version)
		if err != nil {
			return d, err
		}
		d.charts = append(d.charts, loaded)
	}
	return d, nil
}

func (i *Installer) install(ctx context.Context, config *rest.Config, p Product, progress *operations.Progress, upgrade, force bool) error {
	a, err := newAccess(config)
	if err != nil {
		return err
	}
	var d downloaded
	err = progress.Step(ctx, stepDownload, func(ctx context.Context) error {
		d, err = i.download(ctx, p, progress.Say)
		return err
	})
	if err != nil {
		return err
	}
	told := func(name string, do func(ctx context.Context) (string, error)) error {
		return progress.Step(ctx, name, func(ctx context.Context) error {
			said, err := do(ctx)
			if err == nil && said != "" {
				progress.Say("%s", said)
			}
			return coded(err)
		})
	}
	if err := told(stepNamespace, func(ctx context.Context) (string, error) { return a.makeNamespace(ctx, p) }); err != nil {
		return err
	}
	for at, m := range p.manifests {
		err := told(stepCRD(m.file), func(ctx context.Context) (string, error) {
			return a.applyDefinitions(ctx, p, d.manifests[at], m.shared)
		})
		if err != nil {
			return err
		}
	}
	for at, c := range p.charts {
		if upgrade && !c.skipCRDs { // Helm installs those beside the templates, and never brings them up to date
			for _, crd := range d.charts[at].CRDObjects() {
				all, err := definitions(crd.Filename, crd.File.Data)
				if err != nil {
					return err
				}
				err = told(stepCRD(crd.Filename), func(ctx context.Context) (string, error) { return a.applyDefinitions(ctx, p, all, false) })
				if err != nil {
					return err
				}
			}
		}
		err := told(stepInstall(c.release), func(ctx context.Context) (string, error) {
			return a.putRelease(ctx, c, d.charts[at], progress.ID(), upgrade, force)
		})
		if err != nil {
			return err
		}
	}
	err = told(stepReady, func(ctx context.Context) (string, error) { return i.waitReady(ctx, a, p, progress.Say) })
	if err == nil {
		done := "installed"
		if upgrade {
			done = "upgraded"
		}
		progress.Conclude("%s %s is %s", p.Name, p.Version, done)
	}
	return err
}

// putRelease installs or upgrades one release, from whatever there is of it. Where that is cancelled in its middle, it leaves
// the release as it was before.
func (a *access) putRelease(ctx context.Context, c chart, loaded *v2.Chart, operation string, upgrade, force bool) (string, error) {
	h, err := a.release(ctx, c)
	if err != nil {
		return "", err
	}
	recovered, err := h.recover(ctx, force)
	if err != nil {
		return "", err
	}
	said, err := h.put(ctx, loaded, strings.ReplaceAll(operation, "/", "."), upgrade)
	if err != nil && errors.Is(context.Cause(ctx), operations.ErrCancelled) {
		return "", a.undo(context.WithoutCancel(ctx), c)
	}
	return recovered + said, err
}

// undoTime is how long that may take.
const undoTime = time.Minute

// undo brings a release whose installation was cancelled back to where it was. The error says how that went.
func (a *access) undo(ctx context.Context, c chart) error {
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	h, err := a.release(ctx, c)
	if err != nil {
		return err
	}
	records, err := h.history()
	if err != nil || len(records) == 0 {
		return errors.Join(operations.ErrCancelled, err)
	}
	if last := records[len(records)-1]; lastGood(records) == nil {
		_, err = h.uninstall(ctx, true)
	} else if last.Info.Status.IsPending() || last.Info.Status == "failed" {
		err = h.rollBack(ctx, lastGood(records).Version)
	}
	if err != nil {
		return fmt.Errorf("%w, and release %s could not be brought back to where it was: %w. Start again to go on", operations.ErrCancelled, c.release, err)
	}
	return operations.ErrCancelled
}

// Uninstall is the operation that takes a product away, in the reverse of the order in which it is installed.
func (i *Installer) Uninstall(config *rest.Config, p Product, by string) operations.Task {
	task := operations.Task{
		Kind: api.OperationKindUninstall, Target: p.ID, StartedBy: by, Limit: uninstallTime,
		Run: func(ctx context.Context, progress *operations.Progress) error {
			return i.uninstall(ctx, config, p, progress)
		},
	}
	for _, c := range slices.Backward(p.charts) {
		task.Steps = append(task.Steps, stepUninstall(c.release))
	}
	task.Steps = append(task.Steps, stepNamespace)
	return task
}

func (i *Installer) uninstall(ctx context.Context, config *rest.Config, p Product, progress *operations.Progress) error {
	a, err := newAccess(config)
	if err != nil {
		return err
	}
	found := false
	for _, c := range slices.Backward(p.charts) {
		err := progress.Step(ctx, stepUninstall(c.release), func(ctx context.Context) error {
			h, err := a.release(ctx, c)
			if err != nil {
				return err
			}
			last, err := h.last()
			switch {
			case err != nil:
				return coded(err)
			case last == nil:
				progress.Say("Helm has no release of this name")
				return nil
			case last.Info.Status.IsPending() && !abandoned(last):
				return api.Errorf(api.ErrorCodeConflict, "release %s/%s is %s, by somebody else's hand: wait for its end", c.namespace, c.release, last.Info.Status)
			}
			found = true
			left, err := h.uninstall(ctx, last.Info.Status.IsPending())
			if err == nil {
				progress.Say("%s", strings.TrimSpace("Removed. "+left))
			}
			return coded(err)
		})
		if err != nil {
			return err
		}
	}
	var namespace Namespace
	err = progress.Step(ctx, stepNamespace, func(ctx context.Context) error {
		namespace, err = a.deleteNamespace(ctx, p)
		if namespace.Reason != "" {
			progress.Say("%s", namespace.Reason)
		}
		return coded(err)
	})
	if err != nil {
		return err
	}
	progress.Result(map[string]any{"namespace": namespace})
	switch {
	case !found:
		progress.Conclude("%s was not installed by Helm: there was nothing to take away", p.Name)
	case namespace.Deleted:
		progress.Conclude("%s is uninstalled", p.Name)
	default:
		progress.Conclude("%s is uninstalled. Namespace %s: %s", p.Name, p.Namespace, namespace.Reason)
	}
	return nil
}

// RemoveCRDs is the operation that removes a product's CustomResourceDefinitions, where what goes with them is what was confirmed.
func (i *Installer) RemoveCRDs(config *rest.Config, p Product, by string, l Loss) operations.Task {
	task := operations.Task{
		Kind: api.OperationKindRemoveCrds, Target: p.ID, StartedBy: by, Limit: uninstallTime,
		Run: func(ctx context.Context, progress *operations.Progress) error {
			a, err := newAccess(config)
			if err != nil {
				return err
			}
			now, err := a.loss(ctx, p)
			if err != nil {
				return coded(err)
			}
			if now.Confirmation != l.Confirmation {
				return Changed()
			}
			for _, d := range l.definitions {
				err := progress.Step(ctx, stepRemove(d.name), func(ctx context.Context) error { return coded(a.removeDefinition(ctx, d, progress.Say)) })
				if err != nil {
					return err
				}
			}
			progress.Result(map[string]any{"crds": l.CRDs, "total": l.Total})
			progress.Conclude("%d CustomResourceDefinitions of %s are removed, and with them %d custom resources", len(l.definitions), p.Name, l.Total)
			return nil
		},
	}
	for _, d := range l.definitions {
		task.Steps = append(task.Steps, stepRemove(d.name))
	}
	return task
}

// Changed is what somebody is told who confirmed another list.
func Changed() error {
	return api.Errorf(api.ErrorCodeConflict, "what would be lost is not what was confirmed: ask again with dryRun=true, and confirm the new list")
}

// Facts tells what an interrupted operation has left, as far as the server itself may read Helm's records.
func (i *Installer) Facts(config *rest.Config) func(ctx context.Context, op api.Operation) string {
	return func(ctx context.Context, op api.Operation) string {
		p, ok := i.Product(op.Target)
		if !ok {
			return ""
		}
		releases, err := i.Releases(ctx, config, p)
		if err != nil {
			return ""
		}
		var known []string
		for _, r := range releases {
			if r.Status != StatusUnknown {
				known = append(known, r.Namespace+"/"+r.Name+" is "+strings.Replace(r.Status, StatusNone, "not there", 1))
			}
		}
		if len(known) == 0 {
			return ""
		}
		return "Of its releases " + strings.Join(known, ", ") + "."
	}
}
