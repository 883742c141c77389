package runtimes_test

import (
	"os"
	"testing"

	"github.com/kubefoundry/kubefoundry/runtimes"
	"github.com/kubefoundry/kubefoundry/runtimes/registry"
	"github.com/kubefoundry/kubefoundry/runtimes/runtimetest"
)

// What one change of a custom resource costs, on average over a runtime's fixtures.
func BenchmarkProject(b *testing.B) {
	for _, rt := range registry.All() {
		b.Run(rt.Info().ID, func(b *testing.B) {
			fixtures := runtimetest.Fixtures(b, os.DirFS(rt.Info().ID+"/testdata"))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				rt.Project(fixtures[i%len(fixtures)].Object)
			}
		})
	}
}

// What one change of a pod costs, on average over a runtime's fixtures.
func BenchmarkAssemble(b *testing.B) {
	for _, rt := range registry.All() {
		b.Run(rt.Info().ID, func(b *testing.B) {
			fixtures := runtimetest.Fixtures(b, os.DirFS(rt.Info().ID+"/testdata"))
			projections := make([]runtimes.Projection, len(fixtures))
			for i := range fixtures {
				projections[i] = rt.Project(fixtures[i].Object)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f := &fixtures[i%len(fixtures)]
				runtimes.Assemble(rt, projections[i%len(fixtures)], f.Pods, f.Events)
			}
		})
	}
}
