package runtimetest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubefoundry/kubefoundry/runtimes"
)

// wrong has one value of each type that JSON has, and numbers that are easily got wrong.
var wrong = []any{
	nil, "x", true, int64(-1), int64(math.MaxInt64), 1e300, []any{nil, "x", map[string]any{}}, map[string]any{"a": "b"},
}

// bearsMutations puts every wrong value into every place of the object, one at a time.
func bearsMutations(t *testing.T, rt runtimes.Runtime, f Fixture) {
	object := f.Object.DeepCopy()
	check := func() {
		p := rt.Project(object)
		d := runtimes.Assemble(rt, p, f.Pods, f.Events)
		if err := errors.Join(validate(rt, &p.Deployment), validate(rt, &d)); err != nil {
			t.Fatalf("%v\nin %v", err, object.Object)
		}
	}
	mutate(object.Object, check)
	require.Equal(t, f.Object.Object, object.Object)
}

// mutate calls check once for each wrong value in each place, and leaves the value as it was.
func mutate(value any, check func()) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			was := value[name]
			for _, value[name] = range wrong {
				check()
			}
			delete(value, name)
			check()
			value[name] = was
			mutate(was, check)
		}
	case []any:
		for i, was := range value {
			for _, value[i] = range wrong {
				check()
			}
			value[i] = was
			mutate(was, check)
		}
	}
}

// Fuzz feeds a runtime with arbitrary JSON, starting from the fixtures.
func Fuzz(f *testing.F, rt runtimes.Runtime, files fs.FS) {
	fixtures := Fixtures(f, files)
	for _, fixture := range fixtures {
		encoded, err := json.Marshal(fixture.Object.Object)
		require.NoError(f, err)
		f.Add(encoded)
	}
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		var content map[string]any
		if json.Unmarshal(encoded, &content) != nil {
			return
		}
		object := &unstructured.Unstructured{Object: content}
		p := rt.Project(object)
		Valid(t, rt, p.Deployment)
		for i := range fixtures {
			Valid(t, rt, runtimes.Assemble(rt, p, fixtures[i].Pods, fixtures[i].Events))
		}
	})
}
