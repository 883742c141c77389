package install

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// Without the stand-in operators, and so without the runtimes' definitions: those come with charts here.
var shared = devcluster.Shared{Options: devcluster.Options{
	Components: []string{devcluster.ControllerManager, devcluster.Scheduler, devcluster.KWOK},
}}

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Runner(m)) }
