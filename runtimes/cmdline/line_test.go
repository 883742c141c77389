package cmdline_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/runtimes/cmdline"
)

func TestFlag(t *testing.T) {
	shell := []string{"/bin/sh", "-c"}
	for name, test := range map[string]struct {
		command, args []string
		want          string
	}{
		"a list":                 {nil, []string{"--model", "a/b"}, "a/b"},
		"with an equals sign":    {nil, []string{"--model=a/b"}, "a/b"},
		"in the command":         {[]string{"python3", "-m", "x", "--model", "a/b"}, nil, "a/b"},
		"for a shell":            {shell, []string{"python3 -m dynamo.vllm --model a/b --x y"}, "a/b"},
		"for a login shell":      {[]string{"bash", "-lc"}, []string{"run --model 'a b' "}, "a b"},
		"all in the command":     {[]string{"/bin/bash", "-c", "exec run --model=\"a/b\""}, nil, "a/b"},
		"without the shell":      {nil, []string{"python3 -m dynamo.vllm --model a/b"}, "a/b"},
		"flag and value as one":  {nil, []string{"--model a/b"}, "a/b"},
		"quotes":                 {shell, []string{`run --model="a/b" --served-model-name 'c d'`}, "a/b"},
		"several lines":          {shell, []string{"cd /x && run \\\n  --model \\\n  a/b; sleep 1"}, "a/b"},
		"the end of a command":   {shell, []string{"run --model a/b; echo done"}, "a/b"},
		"an unclosed quote":      {shell, []string{"run --model a/b --x 'y"}, "a/b"},
		"a variable":             {shell, []string{"run --model $MODEL"}, "env/model"},
		"in braces":              {shell, []string{`run --model "${MODEL}"`}, "env/model"},
		"Kubernetes' form":       {nil, []string{"--model", "$(MODEL)"}, "env/model"},
		"an unknown variable":    {nil, []string{"--model", "$OTHER"}, "$OTHER"},
		"no value":               {nil, []string{"--model", "--x"}, ""},
		"none":                   {nil, []string{"--models", "x"}, ""},
		"JSON beside it":         {nil, []string{"--kv-transfer-config", `{"a": 1, "b": "c"}`, "--model", "a/b"}, "a/b"},
		"the first that has one": {nil, []string{"--model", "a/b", "--model", "c/d"}, "a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			line := cmdline.New(test.command, test.args, map[string]string{"MODEL": "env/model"})
			require.Equal(t, test.want, line.Flag("--model"))
		})
	}
}

func TestAfterAndPrefixed(t *testing.T) {
	line := cmdline.New([]string{"/usr/bin/vllm"}, []string{"serve", "a/b", "--port", "8000"}, nil)
	require.Equal(t, "a/b", line.After("vllm", "serve"))
	require.Empty(t, line.After("serve", "vllm"))
	require.Equal(t, "8000", line.Flag("--host", "--port"))
	require.True(t, line.Has("--port"))
	require.False(t, line.Has("--por"))
	require.Equal(t, "--port", line.Prefixed("--p"))
	require.Empty(t, cmdline.New([]string{"vllm"}, []string{"serve"}, nil).After("vllm", "serve"))
}

func FuzzNew(f *testing.F) {
	f.Add("sh", "-c", "run --model 'a b' \\\n --x=$Y")
	f.Add("", "--model ", "\"")
	f.Fuzz(func(_ *testing.T, a, b, c string) {
		line := cmdline.New([]string{a, b}, []string{c}, map[string]string{"Y": c})
		_ = line.Flag("--model", "--x")
		_ = line.After("sh", "-c")
		_ = line.Prefixed("x")
	})
}
