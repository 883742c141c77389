package metrics

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

var shared = devcluster.Shared{Options: devcluster.Options{GPUNodes: 12, CPUNodes: 3, Scenario: "demo"}}

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Runner(m)) }
