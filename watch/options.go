package watch

import (
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/runtimes"
)

// Options say what to watch and where to publish.
type Options struct {
	// Config reaches the cluster. It needs list and watch on what doc.go names.
	Config *rest.Config
	// Runtimes whose custom resources are deployments.
	Runtimes []runtimes.Runtime
	// Namespaces limits what is watched; empty means all of them.
	Namespaces []string
	// Namespace is the server's own, where operations are kept. Without one there are none.
	Namespace string
	Publisher Publisher
	// Logger may be nil.
	Logger *zap.Logger
	// Registerer takes the metrics until Run returns. It may be nil.
	Registerer prometheus.Registerer
}

var (
	errNoConfig    = errors.New("watch: no rest.Config given")
	errNoPublisher = errors.New("watch: no Publisher given")
)

// completed checks the options and fills in what was left out.
func (o Options) completed() (Options, error) {
	if o.Publisher == nil {
		return o, errNoPublisher
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	o.Namespaces = slices.Compact(slices.Sorted(slices.Values(o.Namespaces)))
	o.Runtimes = slices.Clone(o.Runtimes)
	return o, nil
}

// scopes are the namespaces to list, "" standing for all of them.
func (o Options) scopes() []string {
	if len(o.Namespaces) == 0 {
		return []string{""}
	}
	return o.Namespaces
}
