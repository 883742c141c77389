package metrics

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

var shared devcluster.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Runner(m)) }
