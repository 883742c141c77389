package runtimetest

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

var update = flag.Bool("update", false, "write the golden files anew")

// documents is what a fixture comes to.
type documents struct {
	Deployment api.Deployment `json:"deployment"`
	Pods       []api.Pod      `json:"pods"`
}

// Golden compares what every fixture in dir comes to with the golden file beside it.
func Golden(t *testing.T, rt runtimes.Runtime, dir string) {
	t.Helper()
	for _, f := range Fixtures(t, os.DirFS(dir)) {
		t.Run(f.Name, func(t *testing.T) {
			d := runtimes.Assemble(rt, rt.Project(f.Object), f.Pods, f.Events)
			got := documents{Deployment: d, Pods: []api.Pod{}}
			for _, pod := range f.Pods {
				got.Pods = append(got.Pods, runtimes.PodDocument(rt, d.Id, pod))
			}
			encoded, err := json.MarshalIndent(got, "", "  ")
			require.NoError(t, err)
			encoded = append(encoded, '\n')

			file := filepath.Join(dir, f.Name+".golden.json")
			if *update {
				require.NoError(t, os.WriteFile(file, encoded, 0o600))
				return
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "run the test with -update")
			if diff := cmp.Diff(string(want), string(encoded)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}
