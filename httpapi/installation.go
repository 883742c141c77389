package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/install"
	"github.com/kubefoundry/kubefoundry/internal/operations"
	"github.com/kubefoundry/kubefoundry/view"
)

// GetHelmStatus says that Helm is there, for it is part of this program.
func (s *Server) GetHelmStatus(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, api.HelmStatus{Available: true, Version: install.HelmVersion()})
}

// provider is a runtime that can be installed, in a version.
func (s *Server) provider(id, version string) (install.Product, error) {
	if id == install.GPUOperator { // it has routes of its own
		return install.Product{}, api.Errorf(api.ErrorCodeNotFound, "Provider not found: %s", id)
	}
	return s.product(id, version)
}

func (s *Server) product(id, version string) (install.Product, error) {
	if s.installer == nil || s.operations == nil {
		return install.Product{}, errNoOperations
	}
	p, ok := s.installer.Product(id)
	if !ok {
		return p, api.Errorf(api.ErrorCodeNotFound, "Provider not found: %s", id)
	}
	if version != "" {
		if err := install.CheckVersion(version); err != nil {
			return p, invalidParameter("version", "is no version: write it as in 1.5.1")
		}
	}
	return p.At(version), nil
}

// GetInstallationStatus tells whether a runtime is installed, and how to.
func (s *Server) GetInstallationStatus(w http.ResponseWriter, r *http.Request, id api.ProviderId) {
	p, err := s.provider(id, "")
	var status *api.InstallationStatus
	if err == nil {
		status, err = s.installationStatus(r, p)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, status)
}

// runtimeOf is what the view knows of a runtime.
func (s *Server) runtimeOf(r *http.Request, id string) (api.Runtime, error) {
	var runtime api.Runtime
	document, err := s.only(api.RuntimeKey(id), sight(r))
	if err == nil {
		err = json.Unmarshal(document, &runtime)
	}
	return runtime, err
}

func (s *Server) installationStatus(r *http.Request, p install.Product) (*api.InstallationStatus, error) {
	runtime, err := s.runtimeOf(r, p.ID)
	if err != nil {
		return nil, err
	}
	releases, err := s.releases(r, p)
	if err != nil {
		return nil, err
	}
	return &api.InstallationStatus{
		ProviderId: p.ID, ProviderName: p.Name,
		Installed: runtime.Installed, CrdFound: runtime.Installed, OperatorRunning: runtime.Operator != nil && runtime.Operator.Available > 0,
		Version: runtime.Version, Message: runtime.Message,
		InstallationSteps: s.installer.Steps(p), HelmCommands: s.installer.Commands(p), Releases: told(releases), Operation: s.runningOn(r, p.ID),
	}, nil
}

func told(releases []install.Release) []api.HelmRelease {
	all := make([]api.HelmRelease, 0, len(releases))
	for _, one := range releases {
		all = append(all, one.HelmRelease)
	}
	return all
}

// releases are what Helm's records tell the caller.
func (s *Server) releases(r *http.Request, p install.Product) (releases []install.Release, err error) {
	err = s.asCaller(r.Context(), r, "read", "the Helm releases of "+p.Name, func(ctx context.Context, config *rest.Config) error {
		releases, err = s.installer.Releases(ctx, config, p)
		return err
	})
	return releases, err
}

// GetInstallationCommands is what a person could run instead.
func (s *Server) GetInstallationCommands(w http.ResponseWriter, r *http.Request, id api.ProviderId, params api.GetInstallationCommandsParams) {
	p, err := s.provider(id, params.Version)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.InstallationCommands{ProviderId: p.ID, ProviderName: p.Name, Commands: s.installer.Commands(p), Steps: s.installer.Steps(p)})
}

// InstallProvider installs a runtime.
func (s *Server) InstallProvider(w http.ResponseWriter, r *http.Request, id api.ProviderId, params api.InstallProviderParams) {
	p, err := s.provider(id, params.Version)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	runtime, err := s.runtimeOf(r, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.install(w, r, p, installation{
		there: runtime.Installed && runtime.Operator != nil, force: params.Force, prefer: params.Prefer,
		status: func(result *api.InstallationResult) { result.InstallationStatus, _ = s.installationStatus(r, p) },
	})
}

// UpgradeProvider brings a runtime to a version.
func (s *Server) UpgradeProvider(w http.ResponseWriter, r *http.Request, id api.ProviderId, params api.UpgradeProviderParams) {
	p, err := s.provider(id, params.Version)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.install(w, r, p, installation{
		upgrade: true, force: params.Force, prefer: params.Prefer,
		status: func(result *api.InstallationResult) { result.InstallationStatus, _ = s.installationStatus(r, p) },
	})
}

// UninstallProvider takes a runtime away.
func (s *Server) UninstallProvider(w http.ResponseWriter, r *http.Request, id api.ProviderId, params api.UninstallProviderParams) {
	p, err := s.provider(id, "")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.uninstall(w, r, p, params.Prefer, func(result *api.InstallationResult) { result.InstallationStatus, _ = s.installationStatus(r, p) })
}

// InstallGpuOperator installs NVIDIA's operator.
func (s *Server) InstallGpuOperator(w http.ResponseWriter, r *http.Request, params api.InstallGpuOperatorParams) {
	p, err := s.product(install.GPUOperator, params.Version)
	var status *api.GpuOperatorStatus
	if err == nil {
		status, err = s.gpuOperatorStatus(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.install(w, r, p, installation{
		there: status.Installed, force: params.Force, prefer: params.Prefer,
		status: func(result *api.InstallationResult) { result.Status, _ = s.gpuOperatorStatus(r) },
	})
}

// UpgradeGpuOperator brings NVIDIA's operator to a version.
func (s *Server) UpgradeGpuOperator(w http.ResponseWriter, r *http.Request, params api.UpgradeGpuOperatorParams) {
	p, err := s.product(install.GPUOperator, params.Version)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.install(w, r, p, installation{
		upgrade: true, force: params.Force, prefer: params.Prefer,
		status: func(result *api.InstallationResult) { result.Status, _ = s.gpuOperatorStatus(r) },
	})
}

// UninstallGpuOperator takes NVIDIA's operator away.
func (s *Server) UninstallGpuOperator(w http.ResponseWriter, r *http.Request, params api.UninstallGpuOperatorParams) {
	p, err := s.product(install.GPUOperator, "")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.uninstall(w, r, p, params.Prefer, func(result *api.InstallationResult) { result.Status, _ = s.gpuOperatorStatus(r) })
}

// installation is how something is to be installed.
type installation struct {
	// there: it is installed already, by whomever.
	there, upgrade, force bool
	prefer                string
	status                func(*api.InstallationResult)
}

func (s *Server) install(w http.ResponseWriter, r *http.Request, p install.Product, how installation) {
	result, err := s.settled(r, p, how)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if result != nil {
		how.status(result)
		writeJSON(w, http.StatusOK, result)
		return
	}
	if err := s.mustBeAllowed(r, "install", p.Name, recordsOf(p, "create")...); err != nil {
		s.record(r, "install", p.ID, err)
		s.fail(w, r, err)
		return
	}
	task := s.installer.Install(s.identity.Config(from(r).caller), p, from(r).caller.Name(), how.upgrade, how.force)
	s.operate(w, r, task, how.prefer, func(op api.Operation) any { return s.installed(op, how.status) })
}

// settled is an answer where there is nothing to do: it is installed, or somebody else is at it.
func (s *Server) settled(r *http.Request, p install.Product, how installation) (*api.InstallationResult, error) {
	releases, err := s.releases(r, p)
	if err != nil {
		return nil, err
	}
	var pending, failed []string
	whole := true
	for _, one := range releases {
		text := fmt.Sprintf("%s (%s)", one.Name, one.Status)
		if one.Pending() && s.runningOn(r, p.ID) == "" {
			pending = append(pending, text)
		}
		if one.Failed() {
			failed = append(failed, text)
		}
		whole = whole && (one.Deployed() || one.Status == install.StatusNone || one.Status == install.StatusUnknown)
	}
	switch {
	case len(pending) > 0:
		return &api.InstallationResult{
			Success: true, Installing: true, PendingCharts: strings.Join(pending, ", "),
			Message: p.Name + " is being installed by somebody else: " + strings.Join(pending, ", "),
		}, nil
	case how.there && whole:
		return &api.InstallationResult{Success: true, AlreadyInstalled: true, Message: p.Name + " is already installed"}, nil
	case len(failed) > 0 && !how.force:
		return nil, api.Errorf(api.ErrorCodeConflict, "%s cannot be installed over releases that have failed: %s. Look at them with helm status, or try again with force=true, which takes them away first",
			p.Name, strings.Join(failed, ", "))
	}
	return nil, nil //nolint:nilnil // there is something to do
}

// recordsOf is the right to Helm's records of a product. Whoever lacks it can do nothing, and is told before anything is begun.
func recordsOf(p install.Product, verb string) (rights []authorizationv1.ResourceAttributes) {
	for _, namespace := range p.Namespaces() {
		rights = append(rights, authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: "secrets"})
	}
	return rights
}

// installed is what came of it.
func (s *Server) installed(op api.Operation, status func(*api.InstallationResult)) any {
	result := &api.InstallationResult{Success: true, Message: op.Message, Results: stepResults(op), Operation: &op}
	if !operations.Over(op) {
		result.Installing = true
		result.Message = fmt.Sprintf("It goes on, as operation %s: %s", op.Id, op.Message)
	}
	status(result)
	return result
}

func (s *Server) uninstall(w http.ResponseWriter, r *http.Request, p install.Product, prefer string, status func(*api.InstallationResult)) {
	if err := s.mustBeAllowed(r, "uninstall", p.Name, recordsOf(p, "delete")...); err != nil {
		s.record(r, "uninstall", p.ID, err)
		s.fail(w, r, err)
		return
	}
	task := s.installer.Uninstall(s.identity.Config(from(r).caller), p, from(r).caller.Name())
	s.operate(w, r, task, prefer, func(op api.Operation) any { return s.installed(op, status) })
}

// UninstallProviderCrds removes a runtime's CustomResourceDefinitions, or tells what would be lost.
func (s *Server) UninstallProviderCrds(w http.ResponseWriter, r *http.Request, id api.ProviderId, params api.UninstallProviderCrdsParams) {
	p, err := s.provider(id, "")
	var loss install.Loss
	if err == nil {
		err = s.asCaller(r.Context(), r, "remove", "the CustomResourceDefinitions of "+p.Name, func(ctx context.Context, config *rest.Config) error {
			loss, err = s.installer.Loss(ctx, config, p)
			return err
		})
	}
	removal := api.CrdRemoval{Success: true, Message: loss.Message(), DryRun: params.DryRun, Crds: loss.CRDs, Total: loss.Total, Confirmation: loss.Confirmation}
	switch {
	case err != nil:
	case params.DryRun, len(loss.CRDs) == 0:
		writeJSON(w, http.StatusOK, removal)
		return
	case params.Confirm == "":
		err = invalidParameter("confirm", "is missing: ask with dryRun=true for what would be lost, and give the confirmation of that answer")
	case params.Confirm != loss.Confirmation:
		err = install.Changed()
	}
	if err != nil {
		if !params.DryRun {
			s.record(r, "remove", "the CustomResourceDefinitions of "+id, err)
		}
		s.fail(w, r, err)
		return
	}
	task := s.installer.RemoveCRDs(s.identity.Config(from(r).caller), p, from(r).caller.Name(), loss)
	s.operate(w, r, task, params.Prefer, func(op api.Operation) any {
		removal.Message, removal.Results, removal.Operation, removal.Confirmation = op.Message, stepResults(op), &op, ""
		removal.InstallationStatus, _ = s.installationStatus(r, p)
		return removal
	})
}

// GetGpuOperatorStatus tells whether nodes have GPUs, and whether NVIDIA's operator runs.
func (s *Server) GetGpuOperatorStatus(w http.ResponseWriter, r *http.Request) {
	status, err := s.gpuOperatorStatus(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, status)
}

func (s *Server) gpuOperatorStatus(r *http.Request) (*api.GpuOperatorStatus, error) {
	p, err := s.product(install.GPUOperator, "")
	if err != nil {
		return nil, err
	}
	status := &api.GpuOperatorStatus{GpuNodes: []string{}, HelmCommands: s.installer.Commands(p), Operation: s.runningOn(r, p.ID)}
	var totals api.GpuTotals
	document, err := s.only(api.CapacityKey(), sight(r))
	if err == nil {
		err = json.Unmarshal(document, &totals)
	}
	if err != nil {
		return nil, err
	}
	status.TotalGPUs, status.GpusAvailable = totals.TotalGpus, totals.TotalGpus > 0
	if status.GpuNodes, err = s.gpuNodes(r); err != nil {
		return nil, err
	}
	unsure := ""
	err = s.asCaller(r.Context(), r, "look at", "NVIDIA's GPU operator", func(ctx context.Context, config *rest.Config) error {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		served, err := client.Discovery().ServerResourcesForGroupVersion("nvidia.com/v1")
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		status.CrdFound = err == nil && slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == "clusterpolicies" })
		deployments, err := client.AppsV1().Deployments(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=gpu-operator"})
		if apierrors.IsForbidden(err) {
			unsure = " Whether its operator runs is not known, for you may not list Deployments in the namespace " + p.Namespace + "."
			err = nil
		}
		if err == nil && deployments != nil {
			for i := range deployments.Items {
				status.OperatorRunning = status.OperatorRunning || deployments.Items[i].Status.AvailableReplicas > 0
			}
		}
		if err != nil {
			return err
		}
		releases, err := s.installer.Releases(ctx, config, p)
		status.Releases = told(releases)
		return err
	})
	if err != nil {
		return nil, err
	}
	status.Installed = status.CrdFound && status.OperatorRunning
	switch {
	case status.GpusAvailable:
		where := ""
		if n := cmp.Or(len(status.GpuNodes), totals.GpuNodeCount); n > 0 {
			where = fmt.Sprintf(" on %d nodes", n)
		}
		status.Message = fmt.Sprintf("GPUs are there: %d%s.", status.TotalGPUs, where)
	case status.Installed:
		status.Message = "The GPU operator runs, but no node has GPUs."
	case status.CrdFound:
		status.Message = "The GPU operator is installed, but does not run."
	default:
		status.Message = "The GPU operator is not installed, and no node has GPUs."
	}
	status.Message += unsure
	return status, nil
}

// gpuNodes are the names of nodes with GPUs, of those that the caller may see.
func (s *Server) gpuNodes(r *http.Request) ([]string, error) {
	names := []string{}
	page, err := s.view.List(view.Query{Kind: api.KindNodes, Sight: sight(r)})
	if err != nil {
		return names, err
	}
	for _, document := range page.Documents {
		var node api.Node
		if err := json.Unmarshal(document, &node); err != nil {
			return names, fmt.Errorf("nodes: %w", err)
		}
		if node.GpuCount > 0 {
			names = append(names, node.Name)
		}
	}
	return names, nil
}
