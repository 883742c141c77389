package dynamo_test

import (
	"os"
	"testing"

	"github.com/kubefoundry/kubefoundry/runtimes/dynamo"
	"github.com/kubefoundry/kubefoundry/runtimes/runtimetest"
)

func TestRuntime(t *testing.T) { runtimetest.Run(t, dynamo.New(), os.DirFS("testdata")) }

func TestBuild(t *testing.T) { runtimetest.Build(t, dynamo.New()) }

func TestGolden(t *testing.T) { runtimetest.Golden(t, dynamo.New(), "testdata") }

func FuzzProject(f *testing.F) { runtimetest.Fuzz(f, dynamo.New(), os.DirFS("testdata")) }
