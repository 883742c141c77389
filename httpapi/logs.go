package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/logs"
	"github.com/kubefoundry/kubefoundry/view"
)

const defaultTailLines = 100 // as in openapi.yaml

// GetDeploymentLogs is the last lines of a pod's log, or of those of all pods, or the lines as they are written.
func (s *Server) GetDeploymentLogs(w http.ResponseWriter, r *http.Request, name api.Name, p api.GetDeploymentLogsParams) {
	if err := checkLogs(&p); err != nil {
		s.fail(w, r, err)
		return
	}
	if p.Follow {
		s.followLogs(w, r, name, p)
		return
	}
	pods, err := s.podsOf(r, name, p.Namespace, p.Runtime)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(pods) == 0 {
		writeLogs(w, r, name, api.Logs{Message: "No pods found for this deployment"})
		return
	}
	pod := podMeant(pods, p.PodName)
	if pod == nil {
		s.fail(w, r, notItsPod(name, p.PodName))
		return
	}
	select { // each takes up to 40 MiB of memory while it lasts
	case s.logReads <- struct{}{}:
		defer func() { <-s.logReads }()
	case <-r.Context().Done():
		return
	}
	var answer api.Logs
	if p.AllPods {
		answer, err = s.readLogs(r, pods, p)
	} else {
		answer, err = s.readLog(r, pod, p)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeLogs(w, r, name, answer)
}

// checkLogs says what cannot be asked for at once, and fills in what is left out.
func checkLogs(p *api.GetDeploymentLogsParams) error {
	var details []api.ErrorDetail
	refuse := func(field, format string, args ...any) {
		details = append(details, api.ErrorDetail{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if p.AllPods && p.PodName != "" {
		refuse("podName", "cannot be given with allPods")
	}
	if p.Follow && p.Previous {
		refuse("previous", "cannot be given with follow: the run before this one has ended")
	}
	if p.SinceSeconds > 0 {
		if !p.Since.IsZero() {
			refuse("sinceSeconds", "cannot be given with since")
		}
		p.Since = time.Now().Add(-time.Duration(p.SinceSeconds) * time.Second)
	}
	if details != nil {
		return invalidDetails(details)
	}
	if p.TailLines == 0 {
		p.TailLines = defaultTailLines
	}
	return nil
}

func notItsPod(deployment, pod string) error {
	return api.Errorf(api.ErrorCodeInvalidRequest, "Pod %s is not part of deployment %s; /api/deployments/%s/pods lists those that are", pod, deployment, deployment)
}

// writeLogs answers with JSON, or with the bare text for those who want a file.
func writeLogs(w http.ResponseWriter, r *http.Request, name string, answer api.Logs) {
	w.Header().Add("Vary", "Accept")
	if !wantsText(r.Header.Get("Accept")) {
		writeJSON(w, http.StatusOK, answer)
		return
	}
	text := answer.Logs
	if text == "" && answer.Message != "" {
		text = answer.Message + "\n"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.log"`) // names have no quotes in them
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, text)
}

// wantsText tells whether the header Accept names plain text before it names JSON or all.
func wantsText(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		kind, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "text/plain":
			return true
		case "application/json", "*/*":
			return false
		}
	}
	return false
}

// podsOf are the pods of a deployment, of those that the caller may see.
func (s *Server) podsOf(r *http.Request, name, namespace, runtime string) ([]api.Pod, error) {
	id, err := s.deploymentID(r, name, namespace, runtime)
	if err != nil {
		return nil, err
	}
	page, err := s.view.List(view.Query{Kind: api.KindPods, Sight: sight(r), Deployment: id})
	if err != nil {
		return nil, err
	}
	if unknown(page) {
		return nil, notSynced(api.KindPods, page.State)
	}
	pods := make([]api.Pod, len(page.Documents))
	for i, document := range page.Documents {
		if err := json.Unmarshal(document, &pods[i]); err != nil {
			return nil, fmt.Errorf("pods of deployment %s: %w", id, err)
		}
	}
	return pods, nil
}

// podMeant is the one of this name, or without a name the first that is not ready, for that is whose log one looks for.
func podMeant(pods []api.Pod, name string) *api.Pod {
	i := slices.IndexFunc(pods, func(p api.Pod) bool { return p.Name == name || name == "" && !p.Ready })
	switch {
	case i >= 0:
		return &pods[i]
	case name == "":
		return &pods[0]
	}
	return nil
}

// readLog reads one log in the caller's name.
func (s *Server) readLog(r *http.Request, pod *api.Pod, p api.GetDeploymentLogsParams) (api.Logs, error) {
	answer := api.Logs{PodName: pod.Name, Container: p.Container}
	object := "the log of pod " + pod.Namespace + "/" + pod.Name
	began := time.Now()
	err := s.asCaller(r.Context(), r, "read", object, func(ctx context.Context, config *rest.Config) error {
		client, err := typed.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		if answer.Container == "" {
			if answer.Container, err = containerMeant(ctx, client, pod); err != nil {
				return err
			}
		}
		answer.Logs, err = logs.Read(ctx, client, logs.Request{
			Namespace: pod.Namespace, Pod: pod.Name, Container: answer.Container,
			Lines: p.TailLines, Timestamps: p.Timestamps, Previous: p.Previous, Since: p.Since,
		})
		return logError(err, object)
	})
	s.log.Debug("log read", zap.String("caller", from(r).caller.Name()), zap.String("pod", pod.Id), zap.String("container", answer.Container),
		zap.Int("bytes", len(answer.Logs)), zap.Duration("took", time.Since(began)), zap.Error(err))
	if err == nil && answer.Logs == "" {
		answer.Message = "Nothing is logged"
		if pod.Node == "" {
			answer.Message = "Nothing is logged, for the pod is not on a node yet"
		}
	}
	return answer, err
}

// logError says what the Kubernetes API means that is no fault of the question.
func logError(err error, object string) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return api.Errorf(api.ErrorCodeUnavailable, "cannot read %s: it did not end within %s; ask for fewer lines", object, callerTime)
	case isNotYet(err):
		return api.Errorf(api.ErrorCodeConflict, "cannot read %s: %s", object, words(err))
	}
	return err
}

// containerMeant is the container that the pod says, which only the pod itself tells, else the first one.
func containerMeant(ctx context.Context, client typed.PodsGetter, pod *api.Pod) (string, error) {
	switch len(pod.Containers) {
	case 0:
		return "", nil // for the API server to say
	case 1:
		return pod.Containers[0].Name, nil
	}
	object, err := client.Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err): // whoever may read logs need not have the right to get pods
		return pod.Containers[0].Name, nil // init containers stand last
	case err != nil:
		return "", err
	}
	return logs.DefaultContainer(object), nil
}

// isNotYet tells that there will be a log, or that there was none, from questions that are wrong. Kubelets say both with 400.
func isNotYet(err error) bool {
	if !apierrors.IsBadRequest(err) {
		return false
	}
	return strings.Contains(words(err), "waiting to start") || strings.Contains(words(err), "previous terminated container")
}
