package field

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Max is the largest number that Int and Quantity return. Counts in the objects we read are far below; a larger one is a
// mistake, and sums of what is returned cannot overflow.
const Max = 1 << 20

// At returns what stands at the path, nil where there is nothing. Unlike unstructured.NestedFieldNoCopy it makes no error
// that would be thrown away: this runs for every field of every deployment.
func At(obj map[string]any, path ...string) any {
	var value any = obj
	for _, name := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[name]
	}
	return value
}

// Map returns the object at the path.
func Map(obj map[string]any, path ...string) map[string]any {
	m, _ := At(obj, path...).(map[string]any)
	return m
}

// List returns the list at the path.
func List(obj map[string]any, path ...string) []any {
	l, _ := At(obj, path...).([]any)
	return l
}

// Maps returns the objects of the list at the path; other elements are left out.
func Maps(obj map[string]any, path ...string) []map[string]any {
	list := List(obj, path...)
	maps := make([]map[string]any, 0, len(list))
	for _, element := range list {
		if m, ok := element.(map[string]any); ok {
			maps = append(maps, m)
		}
	}
	return maps
}

// Texts returns the strings of the list at the path; other elements are left out. A single string counts as a list of it.
func Texts(obj map[string]any, path ...string) []string {
	switch value := At(obj, path...).(type) {
	case string:
		return []string{value}
	case []any:
		texts := make([]string, 0, len(value))
		for _, element := range value {
			if s, ok := element.(string); ok {
				texts = append(texts, s)
			}
		}
		return texts
	}
	return nil
}

// Text returns the string at the path.
func Text(obj map[string]any, path ...string) string {
	s, _ := At(obj, path...).(string)
	return s
}

// Bool returns the boolean at the path.
func Bool(obj map[string]any, path ...string) bool {
	b, _ := At(obj, path...).(bool)
	return b
}

// Int returns the number at the path, between 0 and Max, and whether there is one. A string of digits counts: people write
// replicas in quotes into free-form parts.
func Int(obj map[string]any, path ...string) (int, bool) {
	switch value := At(obj, path...).(type) {
	case int64:
		return int(clamp(value)), true
	case float64:
		if math.IsNaN(value) {
			return 0, false
		}
		return int(min(max(value, 0), Max)), true
	case int:
		return int(clamp(int64(value))), true
	case json.Number:
		return digits(value.String())
	case string:
		return digits(value)
	}
	return 0, false
}

// Quantity returns the Kubernetes quantity at the path rounded up to a whole number, between 0 and Max: `2`, `"2"`, `"1k"`.
func Quantity(obj map[string]any, path ...string) (int, bool) {
	if n, ok := Int(obj, path...); ok {
		return n, true
	}
	q, err := resource.ParseQuantity(Text(obj, path...))
	if err != nil {
		return 0, false
	}
	return int(clamp(q.Value())), true
}

func digits(s string) (int, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, false
	}
	return int(clamp(n)), true
}

func clamp(n int64) int64 { return min(max(n, 0), Max) }
