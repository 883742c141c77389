package registry

import (
	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/dynamo"
	"github.com/kubefoundry/kubefoundry/runtimes/kaito"
	"github.com/kubefoundry/kubefoundry/runtimes/kuberay"
)

// All returns the runtimes in the order in which they are shown everywhere.
func All() []runtimes.Runtime {
	return []runtimes.Runtime{
		dynamo.New(),
		kuberay.New(),
		kaito.New(),
	}
}

// Get returns the runtime with this id, nil where there is none.
func Get(id string) runtimes.Runtime {
	for _, rt := range All() {
		if rt.Info().ID == id {
			return rt
		}
	}
	return nil
}
