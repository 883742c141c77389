package runtimetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	sigsyaml "sigs.k8s.io/yaml"
)

// foreign is the annotation of a pod that belongs to something else.
const foreign = "test.kubefoundry.io/foreign"

// Fixture is one case: a custom resource with its pods and events.
type Fixture struct {
	Name   string
	Object *unstructured.Unstructured
	Pods   []*corev1.Pod
	Others []*corev1.Pod // pods of something else
	Events []*corev1.Event
}

// Fixtures reads all cases, in the order of their names.
func Fixtures(t testing.TB, files fs.FS) []Fixture {
	t.Helper()
	names, err := fs.Glob(files, "*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, names, "no fixtures")
	fixtures := make([]Fixture, 0, len(names))
	for _, name := range names {
		fixtures = append(fixtures, readFixture(t, files, name))
	}
	return fixtures
}

func readFixture(t testing.TB, files fs.FS, name string) Fixture {
	t.Helper()
	content, err := fs.ReadFile(files, name)
	require.NoError(t, err)
	f := Fixture{Name: strings.TrimSuffix(path.Base(name), ".yaml")}
	reader := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(content)))
	defer func() { _ = reader.Close() }()
	buffer := make([]byte, len(content)+1)
	for {
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, name)
		f.add(t, name, buffer[:n])
	}
	require.NotNil(t, f.Object, "%s has no custom resource", name)
	return f
}

func (f *Fixture) add(t testing.TB, name string, document []byte) {
	t.Helper()
	object := &unstructured.Unstructured{}
	encoded, err := sigsyaml.YAMLToJSON(document)
	require.NoError(t, err, name)
	require.NoError(t, object.UnmarshalJSON(encoded), name)
	switch object.GetKind() {
	case "Pod":
		pod := &corev1.Pod{}
		require.NoError(t, sigsyaml.UnmarshalStrict(document, pod), name)
		if pod.Annotations[foreign] != "" {
			f.Others = append(f.Others, pod)
		} else {
			f.Pods = append(f.Pods, pod)
		}
	case "Event":
		event := &corev1.Event{}
		require.NoError(t, sigsyaml.UnmarshalStrict(document, event), name)
		f.Events = append(f.Events, event)
	default:
		require.Nil(t, f.Object, "%s has several custom resources", name)
		f.Object = object
	}
}
