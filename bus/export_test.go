package bus

import (
	"context"

	"go.uber.org/zap"
)

// RestartServer ends the embedded server and starts it anew, with nothing that it had in memory.
func (b *Bus) RestartServer() error {
	b.server.server.Shutdown()
	b.server.server.WaitForShutdown()
	return b.server.start(context.Background(), zap.NewNop())
}
