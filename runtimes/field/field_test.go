package field_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/runtimes/field"
)

func TestField(t *testing.T) {
	inner := map[string]any{"text": "x", "list": []any{"a", 1, map[string]any{"b": true}}}
	obj := map[string]any{"inner": inner, "nil": nil}

	require.Equal(t, "x", field.Text(obj, "inner", "text"))
	require.Empty(t, field.Text(obj, "inner", "text", "deeper"))
	require.Empty(t, field.Text(obj, "nil", "x"))
	require.Empty(t, field.Text(nil, "x"))
	require.Equal(t, inner, field.Map(obj, "inner"))
	require.Nil(t, field.Map(obj, "inner", "list"))
	require.Len(t, field.List(obj, "inner", "list"), 3)
	require.Equal(t, []map[string]any{{"b": true}}, field.Maps(obj, "inner", "list"))
	require.Equal(t, []string{"a"}, field.Texts(obj, "inner", "list"))
	require.Equal(t, []string{"x"}, field.Texts(obj, "inner", "text"))
	require.True(t, field.Bool(field.Maps(obj, "inner", "list")[0], "b"))
	require.False(t, field.Bool(obj, "inner"))

	field.Map(obj, "inner")["text"] = "y"
	require.Equal(t, "y", field.Text(obj, "inner", "text"), "nothing is copied")
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct {
		value    any
		number   int
		ok       bool
		quantity int
		okToo    bool
	}{
		{int64(3), 3, true, 3, true},
		{int64(-3), 0, true, 0, true},
		{int64(math.MaxInt64), field.Max, true, field.Max, true},
		{2.9, 2, true, 2, true},
		{1e300, field.Max, true, field.Max, true},
		{math.NaN(), 0, false, 0, false},
		{"4", 4, true, 4, true},
		{"1k", 0, false, 1000, true},
		{"500m", 0, false, 1, true},
		{"x", 0, false, 0, false},
		{nil, 0, false, 0, false},
		{[]any{1}, 0, false, 0, false},
	} {
		obj := map[string]any{"n": test.value}
		n, ok := field.Int(obj, "n")
		require.Equal(t, test.number, n, test.value)
		require.Equal(t, test.ok, ok, test.value)
		n, ok = field.Quantity(obj, "n")
		require.Equal(t, test.quantity, n, test.value)
		require.Equal(t, test.okToo, ok, test.value)
	}
}
