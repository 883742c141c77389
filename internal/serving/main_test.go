package serving

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// shared is an API server and nothing else: Secrets and APIServices need no controller.
var shared = devcluster.Shared{Options: devcluster.Options{GPUNodes: -1, CPUNodes: -1, Components: []string{}}}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(shared.Runner(m), goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}
