package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/kubefoundry/kubefoundry/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServeIsTheDefault(t *testing.T) {
	for _, tt := range []struct{ args, want []string }{
		{nil, []string{"serve"}},
		{[]string{"--port", "1"}, []string{"serve", "--port", "1"}},
		{[]string{"watch", "-o", "json"}, []string{"watch", "-o", "json"}},
		{[]string{"--help"}, []string{"--help"}},
		{[]string{"-h"}, []string{"-h"}},
	} {
		assert.Equal(t, tt.want, withDefault(tt.args))
	}
}

func execute(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	root := newRootCommand(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestVersion(t *testing.T) {
	text, err := execute(t, "version")
	require.NoError(t, err)
	assert.Regexp(t, `^kubefoundry \S+, commit \S+, built .* with go1\S* for \w+/\w+\n$`, text)

	text, err = execute(t, "version", "-o", "json")
	require.NoError(t, err)
	var v api.Version
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	assert.NotEmpty(t, v.Version)
	assert.NotEmpty(t, v.GitCommit)

	_, err = execute(t, "version", "-o", "yaml")
	require.ErrorContains(t, err, `output "yaml" is not known`)
}

func TestVersionOfTheLinkerWins(t *testing.T) {
	t.Cleanup(func() { version, commit, buildTime = "", "", "" })
	version, commit, buildTime = "v1.2.3", "abc", "2026-05-04T12:00:00Z"
	assert.Equal(t, api.Version{Version: "v1.2.3", GitCommit: "abc", BuildTime: noon}, buildVersion())
}

func TestWatchRefusesWhatItCannotDo(t *testing.T) {
	for message, args := range map[string][]string{
		`output "yaml" is not known`:  {"-o", "yaml"},
		"for other kinds use -o json": {"--kinds", "pods"},
		"--since goes with -o json":   {"--since", "e-1"},
		`kind "pod" is not known: choose from deployments, pods, nodes, pools, runtimes, capacity, autoscaler, operations, or all`: {"-o", "json", "--kinds", "pod"},
		`server "ftp://x": want an address`:                  {"--server", "ftp://x"},
		"a token is sent to another machine only over https": {"--server", "http://kubefoundry.example", "--token-file", "/x"},
		"/nowhere/token": {"--token-file", "/nowhere/token"},
		"/nowhere/ca":    {"--server-ca", "/nowhere/ca"},
		"--token-file and --server-ca go with --server": {"--cluster", "--token-file", "/x"},
		"/nowhere/kubeconfig":                           {"--kubeconfig", "/nowhere/kubeconfig"},
	} {
		_, err := execute(t, append([]string{"watch"}, args...)...)
		require.ErrorContains(t, err, message)
	}
}

// TestWatchThroughTheClusterNeedsRightsInOneNamespaceOnly where one is asked for.
func TestWatchThroughTheClusterNeedsRightsInOneNamespaceOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, []byte(`{"clusters":[{"name":"c","cluster":{"server":"https://k8s.example/prefix"}}],"users":[{"name":"u","user":{"token":"t"}}],
		"contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"current-context":"x"}`), 0o600))
	for want, namespace := range map[string]string{
		"https://k8s.example/prefix/apis/live.kubefoundry.io/v1alpha1/backends/default/proxy/api/stream":                            "",
		"https://k8s.example/prefix/apis/live.kubefoundry.io/v1alpha1/namespaces/ml/backends/default/proxy/api/stream?namespace=ml": "ml",
	} {
		got, err := watchOptions{way: wayOptions{kubeconfig: file}, namespace: namespace, kinds: []string{"all"}, output: "json"}.find()
		require.NoError(t, err)
		assert.Equal(t, want, got.address.String())
		assert.Equal(t, "cluster x", got.name)
	}
}

func TestWatchAddress(t *testing.T) {
	for want, o := range map[string]watchOptions{
		"http://127.0.0.1:3001/api/stream?kinds=deployments":      {way: wayOptions{server: "http://127.0.0.1:3001"}, kinds: []string{"deployments"}, output: "table"},
		"http://localhost:3001/api/stream?kinds=pods%2Cnodes":     {way: wayOptions{server: "localhost:3001"}, kinds: []string{"pods", "nodes"}, output: "json"},
		"https://x/sub/api/stream?kinds=deployments&namespace=ml": {way: wayOptions{server: "https://x/sub/"}, namespace: "ml", kinds: []string{"deployments"}, output: "table"},
		"http://x/api/stream": {way: wayOptions{server: "http://x"}, kinds: []string{"all"}, output: "json"},
	} {
		got, err := o.find()
		require.NoError(t, err)
		assert.Equal(t, want, got.address.String())
	}
}
