package install

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"helm.sh/helm/v4/pkg/release/common"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

// HelmVersion is the version of Helm that is part of this program.
func HelmVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "helm.sh/helm/v4" {
				return d.Version
			}
		}
	}
	return "v4"
}

// What a release's status is besides Helm's own words.
const (
	StatusNone    = "none"
	StatusUnknown = "unknown"
)

// Release is one that belongs to a product.
type Release struct {
	api.HelmRelease
	// Ours: this package made it. Abandoned: it is pending, and nobody is at it.
	Ours, Abandoned bool
}

// Pending tells whether somebody else is at it.
func (r Release) Pending() bool { return common.Status(r.Status).IsPending() && !r.Abandoned }

// Failed tells whether it has failed by somebody else's hand.
func (r Release) Failed() bool { return r.Status == string(common.StatusFailed) && !r.Ours }

// Deployed tells whether it is there.
func (r Release) Deployed() bool { return r.Status == string(common.StatusDeployed) }

// Releases are a product's, as Helm's records say. Those that the caller may not read are of an unknown status.
func (i *Installer) Releases(ctx context.Context, config *rest.Config, p Product) ([]Release, error) {
	a, err := newAccess(config)
	if err != nil {
		return nil, err
	}
	all := make([]Release, 0, len(p.charts))
	for _, c := range p.charts {
		one := Release{HelmRelease: api.HelmRelease{Name: c.release, Namespace: c.namespace, Chart: c.name, Status: StatusNone}}
		h, err := a.release(ctx, c)
		if err != nil {
			return nil, err
		}
		last, err := h.last()
		switch {
		case err != nil && isForbidden(err):
			one.Status, one.Message = StatusUnknown, fmt.Sprintf("You may not read Helm's records, which are Secrets in the namespace %s", c.namespace)
		case err != nil:
			return nil, fmt.Errorf("release %s/%s: %w", c.namespace, c.release, err)
		case last != nil:
			one.Status, one.Message, one.Revision, one.UpdatedAt = last.Info.Status.String(), short(last.Info.Description), last.Version, last.Info.LastDeployed.UTC()
			one.Ours, one.Abandoned = ours(last), abandoned(last)
			if last.Chart != nil && last.Chart.Metadata != nil {
				one.Chart, one.Version, one.AppVersion = last.Chart.Metadata.Name, last.Chart.Metadata.Version, last.Chart.Metadata.AppVersion
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// isForbidden sees through Helm, which makes a text of some errors.
func isForbidden(err error) bool {
	return apierrors.IsForbidden(err) || strings.Contains(err.Error(), " is forbidden: ")
}

// coded gives an error of Helm's our code, where it has none of its own.
func coded(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*api.Error](err); ok {
		return err
	}
	var answer apierrors.APIStatus
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &answer):
		return err
	case isForbidden(err):
		return api.Errorf(api.ErrorCodeForbidden, "%s", err)
	}
	return api.Errorf(api.ErrorCodeUnavailable, "%s", err)
}
