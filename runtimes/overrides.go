package runtimes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
)

// raising are fields with which a pod gets more of its node or of the cluster than a model needs, in lower case: operators
// in other languages may read them in any. Those who need one create the object themselves; the API server judges that.
var raising = map[string]string{
	"privileged":                   "gives a container the whole node",
	"allowprivilegeescalation":     "lets a process become root",
	"hostpath":                     "mounts the node's files",
	"hostnetwork":                  "uses the node's network",
	"hostpid":                      "sees the node's processes",
	"hostipc":                      "shares the node's memory",
	"hostport":                     "opens a port of the node",
	"hostprocess":                  "runs on the node itself",
	"hostusers":                    "shares the node's users",
	"capabilities":                 "gives a container rights of root",
	"procmount":                    "opens the node's /proc",
	"runasuser":                    "chooses the user that a container runs as",
	"runasgroup":                   "chooses the group that a container runs as",
	"runasnonroot":                 "chooses the user that a container runs as",
	"seccompprofile":               "changes what a container may ask of the kernel",
	"apparmorprofile":              "changes what a container may ask of the kernel",
	"selinuxoptions":               "changes what a container may ask of the kernel",
	"sysctls":                      "changes settings of the kernel",
	"serviceaccountname":           "gives the pod another ServiceAccount's rights",
	"serviceaccount":               "gives the pod another ServiceAccount's rights",
	"serviceaccounttoken":          "gives the pod a token of its ServiceAccount",
	"automountserviceaccounttoken": "gives the pod a token of its ServiceAccount",
	"nodename":                     "passes the scheduler by",
	"priorityclassname":            "lets the pod displace others",
	"runtimeclassname":             "chooses how the node runs the pod",
	"ephemeralcontainers":          "is not for manifests",
}

// checkOverrides names every path of a merge patch that may not be changed.
func checkOverrides(patch map[string]any) []api.ErrorDetail {
	var details []api.ErrorDetail
	refuse := func(path []string, why string) {
		details = append(details, api.ErrorDetail{Field: "overrides." + strings.Join(path, "."), Message: why})
	}
	if isDeeper(patch, maxDepth) {
		return []api.ErrorDetail{{Field: "overrides", Message: fmt.Sprintf("must not be deeper than %d levels", maxDepth)}}
	}
	for _, name := range slices.Sorted(maps.Keys(patch)) {
		switch name {
		case "apiVersion", "kind", "status":
			refuse([]string{name}, "may not be changed")
		case "metadata":
			checkMetadata(patch[name], refuse)
			continue
		}
	}
	walk(patch, nil, func(path []string, name string, value any) {
		why, found := raising[strings.ToLower(name)]
		if found && value != nil && value != false && value != "" {
			refuse(append(slices.Clone(path), name), "may not be set here: it "+why)
		}
	})
	return details
}

// maxDepth is deeper than any manifest. Paths are as long as what they lead through is deep.
const maxDepth = 64

// isDeeper tells whether a value is deeper than a limit.
func isDeeper(value any, limit int) bool {
	if limit < 0 {
		return true
	}
	switch value := value.(type) {
	case map[string]any:
		for _, v := range value {
			if isDeeper(v, limit-1) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, func(v any) bool { return isDeeper(v, limit-1) })
	}
	return false
}

func checkMetadata(value any, refuse func([]string, string)) {
	metadata, ok := value.(map[string]any)
	if !ok {
		refuse([]string{"metadata"}, "must be an object")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		m, ok := metadata[name].(map[string]any)
		switch {
		case name != "labels" && name != "annotations":
			refuse([]string{"metadata", name}, "may not be changed")
		case !ok:
			refuse([]string{"metadata", name}, "must be an object")
		default:
			for _, key := range slices.Sorted(maps.Keys(m)) {
				if isOwnLabel(key) {
					refuse([]string{"metadata", name, key}, "is KubeFoundry's own")
				} else if _, text := m[key].(string); !text && m[key] != nil {
					refuse([]string{"metadata", name, key}, "must be text")
				}
			}
		}
	}
}

// isOwnLabel tells names that KubeFoundry finds its things by.
func isOwnLabel(key string) bool {
	switch key {
	case LabelName, LabelInstance, LabelManagedBy:
		return true
	}
	return strings.HasPrefix(key, "kubefoundry.io/")
}

// walk visits every field of an object, also of those in lists.
func walk(value any, path []string, visit func(path []string, name string, value any)) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			visit(path, name, value[name])
			walk(value[name], append(slices.Clone(path), name), visit)
		}
	case []any:
		for i, element := range value {
			walk(element, append(slices.Clone(path), strconv.Itoa(i)), visit)
		}
	}
}

// mergePatch applies a JSON merge patch, RFC 7386.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = nil
	}
	result := make(map[string]any, len(t)+len(p))
	maps.Copy(result, t)
	for name, value := range p {
		if value == nil {
			delete(result, name)
			continue
		}
		result[name] = mergePatch(result[name], value)
	}
	return result
}

// plain makes a value of JSON fit for an unstructured object, in which whole numbers are int64 and the rest float64.
func plain(value any) any {
	switch value := value.(type) {
	case map[string]any:
		m := make(map[string]any, len(value))
		for name, v := range value {
			m[name] = plain(v)
		}
		return m
	case []any:
		list := make([]any, len(value))
		for i, v := range value {
			list[i] = plain(v)
		}
		return list
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n
		}
		f, _ := value.Float64() // infinite where it is too large
		return f
	case float64:
		if n := int64(value); float64(n) == value && value < 1<<53 && value > -1<<53 {
			return n
		}
		return value
	case int:
		return int64(value)
	case string, bool, nil, int64:
		return value
	}
	return fmt.Sprint(value)
}

// Plain is plain for a runtime.
func Plain(value any) any { return plain(value) }
