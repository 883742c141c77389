package logs

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	// Since leaves out what is older. The API takes whole seconds.
	Since time.Time
	// MaxBytes is how much is kept where that is less than MaxBytes; 0 is no limit of its own.
	MaxBytes int
}

// options are the request in the API's words. No lines means all of them.
func (r Request) options() *corev1.PodLogOptions {
	o := &corev1.PodLogOptions{Container: r.Container, Timestamps: r.Timestamps, Previous: r.Previous}
	if r.Lines > 0 {
		lines := int64(r.Lines)
		o.TailLines = &lines
	}
	if !r.Since.IsZero() {
		since := metav1.NewTime(r.Since)
		o.SinceTime = &since
	}
	return o
}

// Read returns the last lines of a log, MaxBytes at most. Errors of the Kubernetes API are wrapped. A ctx that ends before
// the log does is an error: what was read by then is not its end.
func Read(ctx context.Context, pods typed.PodsGetter, r Request) (string, error) {
	stream, err := pods.Pods(r.Namespace).GetLogs(r.Pod, r.options()).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("log of pod %s/%s: %w", r.Namespace, r.Pod, err)
	}
	defer stream.Close()
	limit := MaxBytes
	if r.MaxBytes > 0 {
		limit = min(limit, r.MaxBytes)
	}
	end := tail{limit: limit}
	if _, err := io.Copy(&end, stream); err != nil {
		return "", fmt.Errorf("log of pod %s/%s: %w", r.Namespace, r.Pod, err)
	}
	return readable(end.bytes(), end.cut, limit), nil
}
