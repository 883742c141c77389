package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/devcluster"
)

func TestServeSaysWhatIsWrongWithItsSettings(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "settings.yaml")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for name, tc := range map[string]struct {
		args        []string
		environment string
		want        string
	}{
		"no cluster":           {nil, "", "no cluster: there is no kubeconfig and this is no pod"},
		"no such kubeconfig":   {[]string{"--kubeconfig", "/nowhere"}, "", "/nowhere"},
		"log level":            {[]string{"--log-level", "loud"}, "", "--log-level"},
		"variable":             {nil, "many", "KUBEFOUNDRY_MAX_STREAMS"},
		"setting":              {[]string{"--config", file("max-streams: many\n")}, "", "setting max-streams"},
		"unknown setting":      {[]string{"--config", file("max-stream: 5\n")}, "", `"max-stream" is no setting`},
		"no such file":         {[]string{"--config", "/nowhere.yaml"}, "", "/nowhere.yaml"},
		"settings not a map":   {[]string{"--config", file("- a\n")}, "", "settings"},
		"settings given twice": {[]string{"--config", file("listen: a\nlisten: b\n")}, "", "already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBEFOUNDRY_MAX_STREAMS", tc.environment)
			_, err := execute(t, append([]string{"serve"}, tc.args...)...)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// TestAFlagWinsOverTheEnvironmentAndThatOverTheFile: the order that everybody expects.
func TestAFlagWinsOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.yaml")
	require.NoError(t, os.WriteFile(path, []byte("listen: file:1\nnats-bucket: file\nmax-streams: 7\nnamespaces: [a, b]\n"), 0o600))
	t.Setenv("KUBEFOUNDRY_LISTEN", "environment:1")
	t.Setenv("KUBEFOUNDRY_NATS_BUCKET", "environment")
	command := newServeCommand()
	require.NoError(t, command.ParseFlags([]string{"--config", path, "--listen", "flag:1"}))
	require.NoError(t, fromEnvironmentAndFile(command))
	value := func(name string) string { return command.Flag(name).Value.String() }
	assert.Equal(t, "flag:1", value("listen"))
	assert.Equal(t, "environment", value("nats-bucket"))
	assert.Equal(t, "7", value("max-streams"))
	assert.Equal(t, "[a,b]", value("namespaces"))
}

// served is a running `kubefoundry serve`.
type served struct{ url string }

func serve(t *testing.T, args ...string) served {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		root := newRootCommand(append([]string{"serve", "--listen", address, "--log-level", "error"}, args...))
		ended <- root.ExecuteContext(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(20 * time.Second):
			require.Fail(t, "serve does not end")
		}
		http.DefaultClient.CloseIdleConnections()
	})
	s := served{"http://" + address}
	require.Eventually(t, func() bool { status, _ := s.get(t, "/readyz"); return status == http.StatusOK }, time.Minute, 50*time.Millisecond, "not ready")
	return s
}

func (s served) get(t *testing.T, path string) (status int, body []byte) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, body
}

// TestServeShowsWhatTheClusterHas runs the server as a user does, on a cluster with sixty deployments of three runtimes, and
// holds what it shows against what is known of some of them.
func TestServeShowsWhatTheClusterHas(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster of its own")
	}
	cluster, err := devcluster.Start(t.Context(), devcluster.Options{GPUNodes: 12, CPUNodes: 3, Scenario: "demo"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Stop()) })
	s := serve(t, "--kubeconfig", cluster.Kubeconfig())

	type expectation struct {
		phase  api.Phase
		reason string
		engine api.Engine
		mode   api.Mode
		model  string
	}
	expected := map[string]expectation{
		"research/dynamo/llama-3-1-405b":       {api.PhasePending, "FailedScheduling", api.EngineVllm, api.ModeAggregated, "meta-llama/Llama-3.1-405B-Instruct"},
		"research/dynamo/mixtral-8x7b":         {api.PhaseFailed, "CrashLoopBackOff", api.EngineTrtllm, api.ModeAggregated, "mistralai/Mixtral-8x7B-Instruct-v0.1"},
		"code-assist/dynamo/starcoder2-15b":    {api.PhaseFailed, "ImagePullBackOff", api.EngineVllm, api.ModeAggregated, "bigcode/starcoder2-15b"},
		"dynamo-system/dynamo/qwen3-32b":       {api.PhaseRunning, "", api.EngineVllm, api.ModeDisaggregated, "Qwen/Qwen3-32B"},
		"research/dynamo/phi-4":                {api.PhaseRunning, "", api.EngineVllm, api.ModeAggregated, "microsoft/phi-4"},
		"ml-platform/dynamo/llama-3-1-8b":      {api.PhaseRunning, "", api.EngineVllm, api.ModeAggregated, "meta-llama/Llama-3.1-8B-Instruct"},
		"ml-platform/kuberay/llama-3-1-8b":     {api.PhaseRunning, "", api.EngineVllm, api.ModeAggregated, "meta-llama/Llama-3.1-8B-Instruct"},
		"ml-platform/kuberay/qwen3-14b":        {api.PhaseRunning, "", api.EngineVllm, api.ModeDisaggregated, "Qwen/Qwen3-14B"},
		"ml-platform/kuberay/llama-guard-3-8b": {api.PhaseDeploying, "", api.EngineVllm, api.ModeAggregated, "meta-llama/Llama-Guard-3-8B"},
		"research/kuberay/yi-1-5-34b":          {api.PhaseFailed, "CrashLoopBackOff", api.EngineVllm, api.ModeAggregated, "01-ai/Yi-1.5-34B-Chat"},
		"research/kuberay/falcon-40b":          {api.PhasePending, "FailedScheduling", api.EngineVllm, api.ModeAggregated, "tiiuae/falcon-40b-instruct"},
		"kaito-workspace/kaito/mistral-7b":     {api.PhaseRunning, "", api.EngineVllm, api.ModeAggregated, "mistralai/Mistral-7B-Instruct-v0.3"},
		"kaito-workspace/kaito/phi-4-mini":     {api.PhaseRunning, "", api.EngineVllm, api.ModeAggregated, "phi-4-mini-instruct"},
		"edge-lab/kaito/kiosk-berlin":          {api.PhaseRunning, "", api.EngineLlamacpp, api.ModeAggregated, "llama-3.2-1b-instruct"},
		"research/kaito/qwq-32b":               {api.PhaseFailed, "", api.EngineLlamacpp, api.ModeAggregated, "qwq-32b"},
		"data-science/kaito/sql-notes":         {api.PhaseFailed, "ImagePullBackOff", api.EngineLlamacpp, api.ModeAggregated, ""},
		"customer-support/kaito/legacy-chat":   {api.PhaseTerminating, "", api.EngineLlamacpp, api.ModeAggregated, "mixtral-8x7b-instruct"},
	}
	problem := func() string {
		status, body := s.get(t, "/api/deployments")
		var list api.DeploymentList
		if status != http.StatusOK || json.Unmarshal(body, &list) != nil {
			return fmt.Sprintf("status %d: %s", status, body)
		}
		shown := map[string]api.Deployment{}
		for _, d := range list.Deployments {
			shown[d.Id] = d
		}
		if len(shown) < 55 {
			return fmt.Sprintf("only %d deployments", len(shown))
		}
		for id, want := range expected {
			d := shown[id]
			if d.Phase != want.phase || d.Engine != want.engine || d.Mode != want.mode || want.model != "" && d.ModelId != want.model {
				return fmt.Sprintf("%s: want %v, have %s %s %s %s: %s %v", id, want, d.Phase, d.Engine, d.Mode, d.ModelId, d.Message, d.Reasons)
			}
			if want.reason != "" && (len(d.Reasons) == 0 || d.Reasons[0].Reason != want.reason) {
				return fmt.Sprintf("%s: want reason %s, have %v", id, want.reason, d.Reasons)
			}
			if d.Phase == api.PhaseRunning && (d.Replicas.Ready != d.Replicas.Desired || d.Replicas.Desired == 0 || len(d.Pods) == 0 || d.Endpoint == nil) {
				return fmt.Sprintf("%s runs, with replicas %v, %d pods and endpoint %v", id, d.Replicas, len(d.Pods), d.Endpoint)
			}
		}
		return ""
	}
	last := ""
	if !assert.Eventually(t, func() bool { last = problem(); return last == "" }, 3*time.Minute, 200*time.Millisecond) {
		t.Fatal(last)
	}

	status, body := s.get(t, "/api/deployments/llama-3-1-8b")
	require.Equal(t, http.StatusConflict, status, "two runtimes hold this name: %s", body)
	status, body = s.get(t, "/api/deployments/llama-3-1-8b/pods?namespace=ml-platform&runtime=kuberay")
	require.Equal(t, http.StatusOK, status)
	var pods api.PodList
	require.NoError(t, json.Unmarshal(body, &pods))
	require.NotEmpty(t, pods.Pods)
	for _, pod := range pods.Pods {
		require.Equal(t, "ml-platform/kuberay/llama-3-1-8b", pod.Deployment)
	}
	status, body = s.get(t, "/api/runtimes/status")
	require.Equal(t, http.StatusOK, status)
	var runtimes api.RuntimeList
	require.NoError(t, json.Unmarshal(body, &runtimes))
	require.Len(t, runtimes.Runtimes, 3)
	for _, r := range runtimes.Runtimes {
		require.True(t, r.Installed && r.Healthy && r.Version != "", "%+v", r)
	}
	status, body = s.get(t, "/api/autoscaler/detection")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, string(body), `"detected":true`)

	// The terminal's view of the same, until everything has been listed.
	var lines bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	watch := newRootCommand([]string{"watch", "--server", s.url, "--kinds", "deployments", "-o", "json"})
	watch.SetOut(&lines)
	_ = watch.ExecuteContext(ctx)
	require.Contains(t, lines.String(), `"id":"research/dynamo/mixtral-8x7b"`)
	require.Contains(t, lines.String(), "synced")
}
