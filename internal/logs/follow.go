package logs

import (
	"context"
	"fmt"

	typed "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Follow reads a log as it is written, with times, until the container ends: then it returns nil. take gets what there is; no
// more is read of the API's answer until it has returned, and an error of its own is returned as it is. Lines that are not
// after the time since were told before, and are left out; where since is the zero time, the last r.Lines come first.
func Follow(ctx context.Context, pods typed.PodsGetter, r Request, take func([]Line) error) error {
	options := r.options()
	options.Follow, options.Timestamps = true, true
	stream, err := pods.Pods(r.Namespace).GetLogs(r.Pod, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("log of pod %s/%s: %w", r.Namespace, r.Pod, err)
	}
	defer stream.Close()
	return scan(stream, func(lines []Line) error {
		fresh := lines[:0]
		for _, line := range lines {
			if r.Since.IsZero() || line.Time.IsZero() || line.Time.After(r.Since) { // the API knows whole seconds only
				fresh = append(fresh, line)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		return take(fresh)
	})
}
