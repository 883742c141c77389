package aikit

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

var shared devcluster.Shared

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(shared.Runner(m), goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"), // idle connections of clients that live as long as the process
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreTopFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}
