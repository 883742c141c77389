package install

import (
	"maps"
	"slices"

	"github.com/kubefoundry/kubefoundry/api"
)

// Plan tells how a product is installed: the steps for a person, the repositories, and the charts in order. All are empty for
// what is not known.
func (i *Installer) Plan(id string) (steps []api.InstallationStep, repos []api.HelmRepo, charts []api.HelmChart) {
	p, ok := i.Product(id)
	if !ok {
		return nil, nil, nil
	}
	crds := make([]string, len(p.manifests))
	for n, m := range p.manifests {
		crds[n] = i.address(m.source, p.Version) + "/" + m.file
	}
	for n, c := range p.charts {
		chart := api.HelmChart{
			Name: c.release, Chart: c.source + "/" + c.name, Version: p.Version, Namespace: c.namespace,
			CreateNamespace: c.namespace == p.Namespace, SkipCrds: c.skipCRDs, Values: maps.Clone(c.values),
		}
		address := i.address(c.source, p.Version)
		if c.direct {
			chart.Chart, chart.FetchUrl = c.name, archive(address, c.name, p.Version)
		} else if isOCI(address) {
			chart.Chart = address + "/" + c.name
		} else if repo := (api.HelmRepo{Name: c.source, Url: address}); !slices.Contains(repos, repo) {
			repos = append(repos, repo)
		}
		if n == 0 {
			chart.PreCrdUrls = crds
		}
		charts = append(charts, chart)
	}
	return i.Steps(p), repos, charts
}
