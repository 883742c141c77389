package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/logs"
)

const (
	// maxLogPods is how many pods' logs are put together. Of more, those that are not ready come first.
	maxLogPods = 64
	// logsAtOnce is how many of them are read at the same time for one caller.
	logsAtOnce = 4
)

// sourceOf is a pod's log among those of a deployment.
type sourceOf struct {
	api.LogSource
	lines []logs.Line
	err   error
}

// readLogs reads the logs of several pods in the caller's name, and puts their lines into one order. Logs that cannot be read
// are told of, as long as one can.
func (s *Server) readLogs(r *http.Request, pods []api.Pod, p api.GetDeploymentLogsParams) (api.Logs, error) {
	pods = unreadyFirst(pods)
	left := len(pods) - min(len(pods), maxLogPods)
	pods = pods[:len(pods)-left]
	sources := make([]sourceOf, len(pods))
	var group errgroup.Group
	group.SetLimit(logsAtOnce)
	for i := range pods {
		group.Go(func() error {
			sources[i] = s.readSource(r, &pods[i], p, logs.MaxBytes/len(pods))
			return nil
		})
	}
	_ = group.Wait() // what failed stands with each
	answer := api.Logs{}
	lines := make([][]logs.Line, len(sources))
	var failed error
	for i, source := range sources {
		lines[i] = source.lines
		if source.err != nil {
			failed = cmp.Or(failed, source.err)
		}
		answer.Pods = append(answer.Pods, source.LogSource)
	}
	if failed != nil && !slices.ContainsFunc(sources, func(s sourceOf) bool { return s.err == nil }) {
		return answer, failed
	}
	merged := logs.Merge(lines)
	answer.Logs = written(merged[max(0, len(merged)-p.TailLines):], pods, p.Timestamps)
	if left > 0 {
		answer.Message = fmt.Sprintf("The deployment has %d pods more, whose logs are not here; ask for them with podName", left)
	}
	if answer.Logs == "" && answer.Message == "" {
		answer.Message = "Nothing is logged"
	}
	return answer, nil
}

func unreadyFirst(pods []api.Pod) []api.Pod {
	return slices.SortedStableFunc(slices.Values(pods), func(a, b api.Pod) int {
		rank := map[bool]int{false: 0, true: 1}
		return rank[a.Ready] - rank[b.Ready]
	})
}

func (s *Server) readSource(r *http.Request, pod *api.Pod, p api.GetDeploymentLogsParams, limit int) (source sourceOf) {
	source.PodName, source.Container = pod.Name, p.Container
	object := "the log of pod " + pod.Namespace + "/" + pod.Name
	var text string
	source.err = s.asCaller(r.Context(), r, "read", object, func(ctx context.Context, config *rest.Config) error {
		client, err := typed.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		if source.Container == "" {
			if source.Container, err = containerMeant(ctx, client, pod); err != nil {
				return err
			}
		}
		text, err = logs.Read(ctx, client, logs.Request{
			Namespace: pod.Namespace, Pod: pod.Name, Container: source.Container,
			Lines: p.TailLines, Timestamps: true, Previous: p.Previous, Since: p.Since, MaxBytes: limit,
		})
		return logError(err, object)
	})
	if source.err != nil {
		source.Message = source.err.Error()
	}
	source.lines = logs.Lines(text)
	return source
}

// written is lines as text, each with its pod before it.
func written(lines []logs.From, pods []api.Pod, times bool) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("[" + pods[line.Log].Name + "] ")
		if times && !line.Time.IsZero() {
			b.WriteString(line.Time.Format(time.RFC3339Nano) + " ")
		}
		b.WriteString(line.Text)
		b.WriteByte('\n')
	}
	return b.String()
}
