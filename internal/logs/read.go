package logs

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
)

// MaxBytes is how much of a log is kept.
const MaxBytes = 4 << 20

// Request is a question for the end of a log.
type Request struct {
	Namespace, Pod, Container string
	// Lines from the end.
	Lines int
	// Timestamps puts the time before each line.
	Timestamps bool
	// Previous asks for the container's run before this one.
	Previous bool
}

// Read returns the last lines of a log, MaxBytes at most. Errors of the Kubernetes API are wrapped. A ctx that ends before
// the log does is an error: what was read by then is not its end.
func Read(ctx context.Context, pods typed.PodsGetter, r Request) (string, error) {
	lines := int64(r.Lines)
	stream, err := pods.Pods(r.Namespace).GetLogs(r.Pod, &corev1.PodLogOptions{
		Container: r.Container, TailLines: &lines, Timestamps: r.Timestamps, Previous: r.Previous,
	}).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("log of pod %s/%s: %w", r.Namespace, r.Pod, err)
	}
	defer stream.Close()
	end := tail{limit: MaxBytes}
	if _, err := io.Copy(&end, stream); err != nil {
		return "", fmt.Errorf("log of pod %s/%s: %w", r.Namespace, r.Pod, err)
	}
	return readable(end.bytes(), end.cut, MaxBytes), nil
}
