package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubefoundry/kubefoundry/api"
)

const (
	scrapeTime = 5 * time.Second
	maxBytes   = 8 << 20
	maxLines   = 50_000 // parsed they take some hundred bytes each
)

// failure is why a server tells nothing, or not all.
type failure struct {
	reason  api.MetricsUnavailable
	message string
}

func failed(reason api.MetricsUnavailable, format string, args ...any) *failure {
	return &failure{reason, fmt.Sprintf(format, args...)}
}

// scrape asks one server. It may return both samples and a failure, where an answer becomes unreadable midway. The error is one
// of the Kubernetes API, and says nothing of the server.
func scrape(ctx context.Context, config *rest.Config, t Target) ([]api.MetricSample, *failure, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	response, err := get(ctx, config, t)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, timedOut(t), nil
	case err != nil:
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBytes+1))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, timedOut(t), nil
	case err != nil:
		return nil, failed(api.MetricsUnavailableFailed, "The answer of %s broke off", t), nil
	case len(body) > maxBytes:
		return nil, failed(api.MetricsUnavailableTooLarge, "The answer of %s is larger than %d MiB", t, maxBytes>>20), nil
	case response.StatusCode == http.StatusOK:
		samples, f := read(t, body)
		return samples, f, nil
	}
	if status := statusIn(body); status != nil {
		f, err := proxyFailure(t, status)
		return nil, f, err
	}
	return nil, serverFailure(t, response.StatusCode), nil
}

func (t Target) String() string {
	return fmt.Sprintf("%s %s:%d", strings.TrimSuffix(t.Resource, "s"), t.Name, t.Port)
}

func timedOut(t Target) *failure {
	return failed(api.MetricsUnavailableTimedOut, "%s does not answer within %s", t, scrapeTime)
}

// get sends the request. Redirects are not followed: the transport puts the credentials on every request, to whatever host.
func get(ctx context.Context, config *rest.Config, t Target) (*http.Response, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(t.path()).String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4") // expfmt reads no more than that
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client.Do(request)
}

// statusIn is the Kubernetes API's own answer, nil where it is the server's.
func statusIn(body []byte) *metav1.Status {
	status := &metav1.Status{}
	if json.Unmarshal(body, status) != nil || status.Kind != "Status" || status.APIVersion != "v1" {
		return nil
	}
	return status
}

// proxyFailure is what the Kubernetes API says in place of the server.
func proxyFailure(t Target, status *metav1.Status) (*failure, error) {
	says := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(status.Message, part) })
	}
	switch {
	case status.Code == http.StatusNotFound:
		return failed(api.MetricsUnavailableNoService, "There is no %s yet", t), nil
	case says("no endpoints available"):
		return failed(api.MetricsUnavailableNoEndpoints, "No pod is ready behind %s", t), nil
	case says("no service port"):
		return failed(api.MetricsUnavailableNoService, "%s is none of the Service's ports", t), nil
	case !says("error trying to reach", "address not allowed", "does not have a host assigned"):
		return nil, &apierrors.StatusError{ErrStatus: *status}
	case says("refused"):
		return failed(api.MetricsUnavailableRefused, "Nothing listens on %s", t), nil
	case says("timeout", "deadline exceeded"):
		return timedOut(t), nil
	}
	return failed(api.MetricsUnavailableUnreachable, "The Kubernetes API cannot reach %s: %.300s", t, status.Message), nil
}

func serverFailure(t Target, status int) *failure {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return failed(api.MetricsUnavailableNoMetrics, "%s has no /metrics; llama.cpp needs the argument --metrics for it", t)
	case http.StatusServiceUnavailable:
		return failed(api.MetricsUnavailableNotReady, "%s is starting", t)
	case http.StatusUnauthorized, http.StatusForbidden:
		return failed(api.MetricsUnavailableDenied, "%s wants credentials of its own for /metrics", t)
	}
	return failed(api.MetricsUnavailableFailed, "%s answers %d %s", t, status, http.StatusText(status))
}

// read parses an answer.
func read(t Target, body []byte) ([]api.MetricSample, *failure) {
	if bytes.Count(body, []byte("\n")) > maxLines {
		return nil, failed(api.MetricsUnavailableTooLarge, "The answer of %s has more than %d lines", t, maxLines)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	samples := []api.MetricSample{}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		// It skips what it cannot make samples of, and says that it did.
		vector, skipped := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, families[name])
		err = errors.Join(err, skipped)
		for _, s := range vector {
			if value := float64(s.Value); !math.IsNaN(value) && !math.IsInf(value, 0) {
				samples = append(samples, sample(s.Metric, value))
			}
		}
	}
	if err != nil {
		return samples, failed(api.MetricsUnavailableUnreadable, "The answer of %s is not in the Prometheus text format: %.300s", t, err)
	}
	return samples, nil
}

func sample(metric model.Metric, value float64) api.MetricSample {
	s := api.MetricSample{Name: string(metric[model.MetricNameLabel]), Value: value, Labels: make(map[string]string, len(metric))}
	for name, value := range metric {
		if name != model.MetricNameLabel {
			s.Labels[string(name)] = string(value)
		}
	}
	return s
}
