package kaito_test

import (
	"os"
	"testing"

	"github.com/kubefoundry/kubefoundry/runtimes/kaito"
	"github.com/kubefoundry/kubefoundry/runtimes/runtimetest"
)

func TestRuntime(t *testing.T) { runtimetest.Run(t, kaito.New(), os.DirFS("testdata")) }

func TestBuild(t *testing.T) { runtimetest.Build(t, kaito.New()) }

func TestGolden(t *testing.T) { runtimetest.Golden(t, kaito.New(), "testdata") }

func FuzzProject(f *testing.F) { runtimetest.Fuzz(f, kaito.New(), os.DirFS("testdata")) }
