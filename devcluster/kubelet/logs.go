package kubelet

import (
	"context"
	"iter"
	"time"
)

// Container names one container of one pod. Previous means the instance before
// the last restart.
type Container struct {
	Namespace string
	Pod       string
	Name      string
	Previous  bool
}

// Logs is where the kubelet gets log lines from.
//
// It is a question about an interval and never blocks: following a log is asking
// again with a later interval. So a source can be a pure function of the pod and
// the time, and needs no goroutine per reader.
type Logs interface {
	// Lines yields, oldest first, the lines that container c wrote later than
	// after, and no later than until. A zero after means from the start. A text
	// has no line break. The error wraps [fs.ErrNotExist] if there is no such container (for
	// Previous: no earlier instance); a log that is being followed then ends.
	Lines(ctx context.Context, c Container, after, until time.Time) (iter.Seq2[time.Time, string], error)
}
