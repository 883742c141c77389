package tenancy

import (
	"os"
	"testing"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

// shared is the cluster of all tests but those that need another API server.
var shared = &devcluster.Shared{Options: devcluster.Options{Scenario: "demo", Deployments: 12}}

func TestMain(m *testing.M) { os.Exit(shared.Runner(m).Run()) }
