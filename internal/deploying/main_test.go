package deploying

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

var shared = devcluster.Shared{Options: devcluster.Options{
	GPUNodes: -1, CPUNodes: -1, Components: []string{devcluster.ControllerManager},
}}

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Runner(m)) }
