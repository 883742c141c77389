package watch

import (
	"testing"

	"go.uber.org/goleak"
)

// client-go keeps its connections for the process. They end with the cluster, except where it was started elsewhere.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(shared.Runner(m), goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}
