package kuberay_test

import (
	"os"
	"testing"

	"github.com/kubefoundry/kubefoundry/runtimes/kuberay"
	"github.com/kubefoundry/kubefoundry/runtimes/runtimetest"
)

func TestRuntime(t *testing.T) { runtimetest.Run(t, kuberay.New(), os.DirFS("testdata")) }

func TestBuild(t *testing.T) { runtimetest.Build(t, kuberay.New()) }

func TestGolden(t *testing.T) { runtimetest.Golden(t, kuberay.New(), "testdata") }

func FuzzProject(f *testing.F) { runtimetest.Fuzz(f, kuberay.New(), os.DirFS("testdata")) }
