package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/settings"
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
)

// Plans tell how a runtime is installed.
type Plans interface {
	Plan(runtime string) (steps []api.InstallationStep, repos []api.HelmRepo, charts []api.HelmChart)
}

// descriptions are what people are told of a runtime. One that is not here is shown with its name.
var descriptions = map[string]string{
	"dynamo":  "Serves large models across many GPUs, with prefill and decode on workers of their own where that pays.",
	"kuberay": "Serves models with Ray Serve: replicas that scale by load, and Ray's tools around them.",
	"kaito":   "Serves models with GPU nodes that it can have made for them, or on CPUs from ready images.",
}

func provider(info *runtimes.Info) api.Provider {
	return api.Provider{Id: info.ID, Name: info.Name, Description: cmp.Or(descriptions[info.ID], info.Name), DefaultNamespace: info.DefaultNamespace}
}

func providers() []api.Provider {
	all := []api.Provider{}
	for _, runtime := range registry.All() {
		info := runtime.Info()
		all = append(all, provider(&info))
	}
	return all
}

// GetSettings tells everybody whether they have to say who they are, and those who did what is set.
func (s *Server) GetSettings(w http.ResponseWriter, r *http.Request) {
	caller := from(r).caller
	answer := api.Settings{Providers: providers()}
	answer.Auth.Enabled = caller == nil || caller.Via() != api.MeViaKubeconfig
	if caller != nil {
		current := settings.Current{State: api.SettingsState{Error: errNoSettings.Message}}
		if s.settings != nil {
			current = s.settings.Get()
		}
		answer.Config, answer.ResourceVersion, answer.State = current.Config, current.ResourceVersion, &current.State
	}
	writeJSON(w, http.StatusOK, answer)
}

var errNoSettings = api.Errorf(api.ErrorCodeUnavailable, "this server keeps no settings")

// UpdateSettings changes settings in the caller's name.
func (s *Server) UpdateSettings(w http.ResponseWriter, r *http.Request) {
	var change api.SettingsChange
	err := readBody(r, &change)
	if err == nil && s.settings == nil {
		err = errNoSettings
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if details := s.settings.Check(change); len(details) > 0 {
		s.fail(w, r, invalidDetails(details))
		return
	}
	var written settings.Current
	err = s.act(r, "change", "settings "+s.settings.Namespace+"/"+settings.Name, func(ctx context.Context, config *rest.Config) error {
		var err error
		written, err = s.settings.Change(ctx, config, change)
		return err
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.settings.Await(r.Context(), written.ResourceVersion)
	writeJSON(w, http.StatusOK, api.SettingsChanged{Message: "Settings updated successfully", Config: written.Config, ResourceVersion: written.ResourceVersion})
}

// ListProviders is the runtimes that KubeFoundry knows, installed or not.
func (s *Server) ListProviders(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, api.ProviderList{Providers: providers()})
}

// GetProvider is one runtime with how it is installed.
func (s *Server) GetProvider(w http.ResponseWriter, r *http.Request, id string) {
	runtime := registry.Get(id)
	if runtime == nil {
		s.fail(w, r, api.Errorf(api.ErrorCodeNotFound, "Provider not found: %s", id))
		return
	}
	info := runtime.Info()
	p := provider(&info)
	details := api.ProviderDetails{
		Id: p.Id, Name: p.Name, Description: p.Description, DefaultNamespace: p.DefaultNamespace,
		CrdConfig:         api.CrdConfig{ApiGroup: info.Resource.Group, ApiVersion: info.Resource.Versions[0], Plural: info.Resource.Plural, Kind: info.Resource.Kind},
		InstallationSteps: []api.InstallationStep{}, HelmRepos: []api.HelmRepo{}, HelmCharts: []api.HelmChart{},
	}
	if s.plans != nil {
		steps, repos, charts := s.plans.Plan(id)
		details.InstallationSteps = append(details.InstallationSteps, steps...)
		details.HelmRepos = append(details.HelmRepos, repos...)
		details.HelmCharts = append(details.HelmCharts, charts...)
	}
	writeJSON(w, http.StatusOK, details)
}

func asAPIError(err error) (*api.Error, bool) { return errors.AsType[*api.Error](err) }
