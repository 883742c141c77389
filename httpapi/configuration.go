package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/runtimes"
)

// readConfig reads a configuration field by field, so that one that cannot be read hides no other: the runtime says what is
// wrong with the rest. unknown are fields that there are none of; they are ignored, for clients send what they know.
func readConfig(r *http.Request) (c *api.DeploymentConfig, unknown []string, details []api.ErrorDetail, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, nil, nil, invalidDetails([]api.ErrorDetail{{Field: "body", Message: "must be application/json"}})
	}
	body, err := io.ReadAll(r.Body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, nil, nil, api.Errorf(api.ErrorCodeTooLarge, "the body has more than the %d bytes that are taken", tooLarge.Limit)
	}
	var fields map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(body, &fields)
	}
	if err != nil || fields == nil {
		return nil, nil, nil, invalidDetails([]api.ErrorDetail{{Field: "body", Message: "must be a JSON object"}})
	}
	c = &api.DeploymentConfig{}
	value := reflect.ValueOf(c).Elem()
	places := jsonFields(value.Type())
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at, known := places[name]
		if !known {
			unknown = append(unknown, name)
			continue
		}
		field := value.Field(at)
		if err := json.Unmarshal(fields[name], field.Addr().Interface()); err != nil {
			details = append(details, mistyped(name, err, field.Type()))
			field.SetZero()
			continue
		}
		unknown = append(unknown, strangers(name, fields[name], field.Type())...)
	}
	return c, unknown, details, nil
}

// jsonFields are the indices of a struct's fields, by their names in JSON.
func jsonFields(t reflect.Type) map[string]int {
	places := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		places[name] = i
	}
	return places
}

// mistyped says in words what a field must be.
func mistyped(name string, err error, t reflect.Type) api.ErrorDetail {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		t = wrong.Type
		if wrong.Field != "" {
			name += "." + wrong.Field
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	words := "of another type"
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		words = "a whole number"
	case reflect.Float64:
		words = "a number"
	case reflect.Bool:
		words = "true or false"
	case reflect.String:
		words = "text"
	case reflect.Slice:
		words = "a list"
	case reflect.Map, reflect.Struct:
		words = "an object"
	}
	return api.ErrorDetail{Field: name, Message: "must be " + words}
}

// strangers are the fields in a value of JSON that its type has none of.
func strangers(path string, raw json.RawMessage, t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var unknown []string
	switch t.Kind() {
	case reflect.Struct:
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(raw, &fields) // read before
		places := jsonFields(t)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if at, known := places[name]; known {
				unknown = append(unknown, strangers(path+"."+name, fields[name], t.Field(at).Type)...)
			} else {
				unknown = append(unknown, path+"."+name)
			}
		}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Struct {
			return nil
		}
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list) // read before
		for i, element := range list {
			unknown = append(unknown, strangers(fmt.Sprintf("%s.%d", path, i), element, t.Elem())...)
		}
	case reflect.Map:
		if t.Elem().Kind() != reflect.Struct {
			return nil
		}
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(raw, &fields) // read before
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			unknown = append(unknown, strangers(path+"."+name, fields[name], t.Elem())...)
		}
	}
	return unknown
}

// built is what a request describes.
type built struct {
	config  *api.DeploymentConfig
	runtime runtimes.Runtime
	runtimes.Manifests
}

// build reads a configuration and makes its manifests, or tells everything that is wrong with it.
func (s *Server) build(r *http.Request) (*built, error) {
	c, unknown, details, err := readConfig(r)
	if err != nil {
		return nil, err
	}
	b := &built{config: c}
	refused := func(field string) bool {
		return slices.ContainsFunc(details, func(d api.ErrorDetail) bool {
			return d.Field == field || strings.HasPrefix(d.Field, field+".") || strings.HasPrefix(field, d.Field+".")
		})
	}
	if b.runtime = s.runtime(c.Provider); b.runtime == nil && !refused("provider") {
		details = append(details, api.ErrorDetail{Field: "provider", Message: "must be one of " + strings.Join(s.runtimeIDs(), ", ")})
	}
	if b.runtime != nil {
		var wrong []api.ErrorDetail
		b.Manifests, wrong = b.runtime.Build(c)
		read := slices.Clone(details)
		for _, d := range wrong {
			if details = read; !refused(d.Field) {
				read = append(read, d)
			}
		}
		details = read
	}
	if len(details) > 0 {
		return nil, invalidDetails(details)
	}
	for _, name := range unknown {
		b.Warnings = append(b.Warnings, fmt.Sprintf("%.100s is no field of a configuration and was ignored", name))
	}
	b.Warnings = append(b.Warnings, s.fit(r, b)...)
	return b, nil
}

func (s *Server) runtime(id string) runtimes.Runtime {
	for _, rt := range s.builders {
		if rt.Info().ID == id {
			return rt
		}
	}
	return nil
}

func (s *Server) runtimeIDs() []string {
	ids := make([]string, len(s.builders))
	for i, rt := range s.builders {
		ids[i] = rt.Info().ID
	}
	return ids
}

// fit says what keeps a deployment's GPUs from being found, as far as the view knows.
func (s *Server) fit(r *http.Request, b *built) []string {
	minimum := 0
	if s.minGPUs != nil {
		minimum, _ = s.minGPUs(b.config.ModelId)
	}
	return s.fitWarnings(r, runtimes.NeedsOf(b.runtime.Project(b.Primary)), b.config.ModelId, minimum)
}

func (s *Server) fitWarnings(r *http.Request, needs runtimes.GPUNeeds, model string, minimum int) []string {
	if needs.Total <= 0 {
		return nil
	}
	var cluster api.GpuTotals
	if err := s.total(&cluster, r); err != nil {
		return []string{"Whether the cluster has the GPUs is not known: " + err.Error()}
	}
	return needs.Warnings(model, cluster, minimum)
}

// manifestsOf are objects as answers have them.
func manifestsOf(objects ...map[string]any) []api.Manifest {
	list := make([]api.Manifest, 0, len(objects))
	for _, o := range objects {
		m := api.Manifest{Manifest: o}
		m.Kind, _ = o["kind"].(string)
		m.ApiVersion, _ = o["apiVersion"].(string)
		if metadata, ok := o["metadata"].(map[string]any); ok {
			m.Name, _ = metadata["name"].(string)
		}
		list = append(list, m)
	}
	return list
}
