package install

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/kubefoundry/kubefoundry/api"
)

// GPUOperator is the id of NVIDIA's GPU operator, which is no runtime.
const GPUOperator = "gpu-operator"

// Product is what can be installed.
type Product struct {
	ID, Name string
	// Namespace is where it is installed, and made where it is missing, with these labels.
	Namespace string
	labels    map[string]string
	// Version is installed unless another is asked for.
	Version string
	// manifests are applied before the charts, which are installed in order.
	manifests []manifest
	charts    []chart
	// Groups of the API whose CustomResourceDefinitions are the product's, where their plural begins with a prefix.
	groups map[string]string
}

// manifest is a file with CustomResourceDefinitions.
type manifest struct {
	source, file string
	// shared ones belong to somebody else where they are there already.
	shared bool
}

// chart is a Helm chart and the release that it becomes.
type chart struct {
	source, name string
	release      string
	namespace    string
	values       map[string]any
	skipCRDs     bool
	// direct charts lie beside each other, without an index.
	direct bool
}

// Addresses of the sources. {version} is the version that is installed.
var addresses = map[string]string{
	"kaito":          "https://kaito-project.github.io/kaito/charts/kaito",
	"kaito-crds":     "https://raw.githubusercontent.com/kaito-project/kaito/v{version}/config/crd/bases",
	"karpenter-crds": "https://raw.githubusercontent.com/kubernetes-sigs/karpenter/v1.8.0/pkg/apis/crds",
	"kuberay":        "https://ray-project.github.io/kuberay-helm",
	"dynamo":         "https://helm.ngc.nvidia.com/nvidia/ai-dynamo/charts",
	"nvidia":         "https://helm.ngc.nvidia.com/nvidia",
}

// products in the order in which they are shown.
func products() []Product {
	return []Product{
		{
			ID: "dynamo", Name: "NVIDIA Dynamo", Namespace: "dynamo-system", Version: "0.7.1",
			charts: []chart{
				{source: "dynamo", name: "dynamo-crds", release: "dynamo-crds", namespace: "default", direct: true},
				{source: "dynamo", name: "dynamo-platform", release: "dynamo-platform", namespace: "dynamo-system", direct: true},
			},
			groups: map[string]string{"nvidia.com": "dynamo"}, // the GPU operator's are of this group too
		},
		{
			ID: "kuberay", Name: "Ray Serve via KubeRay", Namespace: "kuberay-system", Version: "1.5.1",
			charts: []chart{{source: "kuberay", name: "kuberay-operator", release: "kuberay-operator", namespace: "kuberay-system"}},
			groups: map[string]string{"ray.io": ""},
		},
		{
			ID: "kaito", Name: "KAITO", Namespace: "kaito-workspace", Version: "0.8.0",
			// The chart brings definitions of Node Feature Discovery, over which it and the GPU operator would fight, so its own
			// come from here. Its operator watches Karpenter's resources, used or not.
			manifests: []manifest{
				{source: "karpenter-crds", file: "karpenter.sh_nodeclaims.yaml", shared: true},
				{source: "karpenter-crds", file: "karpenter.sh_nodepools.yaml", shared: true},
				{source: "kaito-crds", file: "kaito.sh_workspaces.yaml"},
				{source: "kaito-crds", file: "kaito.sh_inferencesets.yaml"},
			},
			charts: []chart{{
				source: "kaito", name: "workspace", release: "kaito-workspace", namespace: "kaito-workspace", skipCRDs: true,
				values: map[string]any{
					"featureGates":          map[string]any{"disableNodeAutoProvisioning": "true"},
					"localCSIDriver":        map[string]any{"useLocalCSIDriver": false},
					"gpu-feature-discovery": map[string]any{"enabled": false},
				},
			}},
			groups: map[string]string{"kaito.sh": ""},
		},
		{
			ID: GPUOperator, Name: "NVIDIA GPU operator", Namespace: "gpu-operator", Version: "v25.10.1",
			labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"}, // its pods load drivers
			charts: []chart{{source: "nvidia", name: "gpu-operator", release: "gpu-operator", namespace: "gpu-operator"}},
		},
	}
}

// Options of an Installer.
type Options struct {
	// Sources replace addresses of charts and manifests, by name: a mirror (https://…), or a registry (oci://…).
	Sources map[string]string
	// Versions replace those that are installed unless another is asked for, by product.
	Versions map[string]string
	// Ready is how long what is installed may take to become ready; 5 minutes when zero.
	Ready time.Duration
}

// Installer knows what can be installed, and from where.
type Installer struct {
	products []Product
	sources  map[string]string
	ready    time.Duration
}

// New makes an Installer. The error names what the options get wrong.
func New(o Options) (*Installer, error) {
	i := &Installer{products: products(), sources: maps.Clone(addresses), ready: o.Ready}
	if i.ready == 0 {
		i.ready = 5 * time.Minute
	}
	for name, address := range o.Sources {
		if _, ok := addresses[name]; !ok {
			return nil, api.Errorf(api.ErrorCodeInvalidRequest, "source %q is not known: choose of %s", name, strings.Join(slices.Sorted(maps.Keys(addresses)), ", "))
		}
		if err := checkAddress(address); err != nil {
			return nil, api.Errorf(api.ErrorCodeInvalidRequest, "source %s: %s", name, err)
		}
		i.sources[name] = strings.TrimRight(address, "/")
	}
	for id, version := range o.Versions {
		at := slices.IndexFunc(i.products, func(p Product) bool { return p.ID == id })
		if at < 0 {
			return nil, api.Errorf(api.ErrorCodeInvalidRequest, "version of %q: there is no such runtime", id)
		}
		if err := CheckVersion(version); err != nil {
			return nil, api.Errorf(api.ErrorCodeInvalidRequest, "version of %s: %s", id, err.Message)
		}
		i.products[at].Version = version
	}
	return i, nil
}

// Product finds what can be installed by its id.
func (i *Installer) Product(id string) (Product, bool) {
	at := slices.IndexFunc(i.products, func(p Product) bool { return p.ID == id })
	if at < 0 {
		return Product{}, false
	}
	return i.products[at], true
}

// At is the product in another version; in its own where that is empty.
func (p Product) At(version string) Product {
	if version != "" {
		p.Version = version
	}
	return p
}

// CheckVersion tells whether a text is one version, as in 1.5.1 or v25.10.1.
func CheckVersion(version string) *api.Error {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(version, "v")); err != nil {
		return api.Errorf(api.ErrorCodeInvalidRequest, "%q is no version: write it as in 1.5.1", version)
	}
	return nil
}

// address is where a source is, for a version.
func (i *Installer) address(source, version string) string {
	return strings.ReplaceAll(i.sources[source], "{version}", strings.TrimPrefix(version, "v"))
}

// owns tells whether a CustomResourceDefinition is the product's.
func (p Product) owns(group, plural string) bool {
	prefix, ok := p.groups[group]
	return ok && strings.HasPrefix(plural, prefix)
}

// Namespaces are those that hold Helm's records of the product.
func (p Product) Namespaces() (all []string) {
	for _, c := range p.charts {
		if !slices.Contains(all, c.namespace) {
			all = append(all, c.namespace)
		}
	}
	return all
}
