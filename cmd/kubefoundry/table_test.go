package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kubefoundry/kubefoundry/api"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func someRows() []row {
	return []row{
		{"llama-70b", "ml", "kaito", "meta-llama/Llama-3.3-70B-Instruct", api.PhaseRunning, "2/2", 16, noon.Add(-3 * time.Hour), ""},
		{"qwen", "ml", "dynamo", "Qwen/Qwen3-0.6B", api.PhasePending, "0/1", 1, noon.Add(-40 * time.Second), "0/15 nodes are available: 12 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint(s)."},
		{"mistral-with-a-rather-long-name", "research", "kuberay", "", api.PhaseFailed, "0/3", 3, time.Time{}, "CrashLoopBackOff in 2 pods"},
	}
}

func TestTable(t *testing.T) {
	for name, tt := range map[string]struct {
		width int
		want  string
	}{
		"wide": {200, `
NAME                             NAMESPACE  RUNTIME  MODEL                              PHASE        READY  GPUS   AGE  MESSAGE
llama-70b                        ml         kaito    meta-llama/Llama-3.3-70B-Instruct  Running        2/2    16    3h
qwen                             ml         dynamo   Qwen/Qwen3-0.6B                    Pending        0/1     1   40s  0/15 nodes are available: 12 Insufficient nvidia.com/gpu, 3 node(s) had untoler…
mistral-with-a-rather-long-name  research   kuberay                                     Failed         0/3     3     -  CrashLoopBackOff in 2 pods
`},
		"ordinary": {100, `
NAME             NAMESPACE  RUNTIME  MODEL            PHASE        READY  GPUS   AGE  MESSAGE
llama-70b        ml         kaito    meta-llama/Lla…  Running        2/2    16    3h
qwen             ml         dynamo   Qwen/Qwen3-0.6B  Pending        0/1     1   40s  0/15 nodes ar…
mistral-with-a…  research   kuberay                   Failed         0/3     3     -  CrashLoopBack…
`},
		"narrow": {50, `
NAME           NAMESPACE  PHASE        READY  GPUS
llama-70b      ml         Running        2/2    16
qwen           ml         Pending        0/1     1
mistral-with…  research   Failed         0/3     3
`},
		"hardly there": {10, `
NAME
llama-70b
qwen
mistral-w…
`},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, strings.TrimSpace(tt.want), strings.Join(table(someRows(), tt.width, noon, false), "\n"))
		})
	}
}

func TestPhasesHaveColours(t *testing.T) {
	lines := table(someRows(), 200, noon, true)
	assert.Contains(t, lines[1], "\x1b[32mRunning    \x1b[0m")
	assert.NotContains(t, lines[0], "\x1b")
}

func TestNoLineIsWiderThanTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 60, -1)
		var list []row
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			doc, err := json.Marshal(api.Deployment{
				Name: text.Draw(t, "name"), Namespace: text.Draw(t, "namespace"), Provider: text.Draw(t, "runtime"),
				ModelId: text.Draw(t, "model"), Phase: api.Phase(text.Draw(t, "phase")), Message: text.Draw(t, "message"),
				Gpus: rapid.Int().Draw(t, "gpus"), CreatedAt: noon,
			})
			require.NoError(t, err)
			r, err := newRow(doc)
			require.NoError(t, err)
			list = append(list, r)
		}
		width := rapid.IntRange(1, 250).Draw(t, "width")
		lines := table(list, width, noon, false)
		require.Len(t, lines, len(list)+1)
		for _, line := range lines {
			if columns(line) > width || strings.ContainsAny(line, "\x1b\n\r\t") {
				t.Fatalf("%d columns in %d: %q", columns(line), width, line)
			}
		}
	})
}

func TestByUrgency(t *testing.T) {
	list := someRows()
	var phases []api.Phase
	for _, r := range byUrgency(list) {
		phases = append(phases, r.phase)
	}
	assert.Equal(t, []api.Phase{api.PhaseFailed, api.PhasePending, api.PhaseRunning}, phases)
	assert.Equal(t, api.PhaseRunning, list[0].phase, "the list is left as it was")
}

func TestPhases(t *testing.T) {
	assert.Equal(t, "0 deployments", phases(nil))
	assert.Equal(t, "1 deployment: 1 Running", phases(someRows()[:1]))
	assert.Equal(t, "3 deployments: 1 Running, 1 Pending, 1 Failed", phases(someRows()))
}

func TestRowTakesTheFirstReasonForAMessage(t *testing.T) {
	r, err := newRow(json.RawMessage(`{"name":"a","createdAt":"2026-05-04T11:00:00Z","replicas":{"ready":1,"desired":2,"available":1},"reasons":[{"reason":"ImagePullBackOff","message":""}]}`))
	require.NoError(t, err)
	assert.Equal(t, "ImagePullBackOff", r.message)
	assert.Equal(t, "1/2", r.ready)
	assert.Equal(t, "60m", r.age(noon))
	assert.Equal(t, "0s", r.age(noon.Add(-24*time.Hour)), "a clock that goes before the cluster's")
}

func BenchmarkTable(b *testing.B) {
	list := make([]row, 1000)
	for i := range list {
		list[i] = someRows()[i%3]
		list[i].name = fmt.Sprintf("%s-%d", list[i].name, i)
	}
	for b.Loop() {
		table(list, 160, noon, true)
	}
}
