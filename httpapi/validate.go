package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/gorilla/mux"

	"github.com/kubefoundry/kubefoundry/api"
)

// loadDocument reads the OpenAPI document, as a structure to validate by and as JSON to serve.
func loadDocument() (*openapi3.T, []byte, error) {
	document, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		return nil, nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if err := document.Validate(context.Background()); err != nil {
		return nil, nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	b, err := json.Marshal(document)
	if err != nil {
		return nil, nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return document, b, nil
}

// validate holds a request against the OpenAPI document, and names everything that is wrong with it at once.
func (s *Server) validate(next http.Handler) http.Handler {
	// Defaults are the handlers' business: the validator would write them into the request's URL. Who the caller is has been
	// found out before.
	options := &openapi3filter.Options{
		MultiError: true, ExcludeResponseBody: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _ := mux.CurrentRoute(r).GetPathTemplate()
		item := s.document.Paths.Value(path)
		operation := item.GetOperation(r.Method)
		if len(operation.Parameters) == 0 && operation.RequestBody == nil {
			next.ServeHTTP(w, r)
			return
		}
		if _, err := url.ParseQuery(r.URL.RawQuery); err != nil { // what cannot be read would be passed over
			s.fail(w, r, invalidParameter("query", "cannot be read: after each % two hexadecimal digits have to follow, and parameters are separated by &"))
			return
		}
		options := options
		if checked, _ := operation.Extensions["x-body-checked-by-handler"].(bool); checked { // together with what a schema cannot say
			own := *options
			own.ExcludeRequestBody = true
			options = &own
		}
		err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: mux.Vars(r), Options: options,
			Route: &routers.Route{Spec: s.document, Path: path, PathItem: item, Method: r.Method, Operation: operation},
		})
		if err != nil {
			s.fail(w, r, invalid(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// invalid puts what the validator found into our error. It says what is allowed and not what was sent, which may be hostile
// or long.
func invalid(err error) *api.Error {
	var all openapi3.MultiError
	if !errors.As(err, &all) {
		all = openapi3.MultiError{err}
	}
	var details []api.ErrorDetail
	for _, err := range all {
		for _, one := range apart(err) {
			if d := detail(one); !slices.Contains(details, d) {
				details = append(details, d)
			}
		}
	}
	return invalidDetails(details)
}

// apart takes what is wrong with a body apart, one error for each field.
func apart(err error) []error {
	var request *openapi3filter.RequestError
	var fields openapi3.MultiError
	if !errors.As(err, &request) || request.Parameter != nil || !errors.As(request.Err, &fields) {
		return []error{err}
	}
	var all []error
	for _, field := range fields {
		one := *request
		one.Err = field
		all = append(all, apart(&one)...)
	}
	return all
}

func invalidDetails(details []api.ErrorDetail) *api.Error {
	texts := make([]string, 0, len(details))
	for _, d := range details {
		texts = append(texts, d.Field+" "+d.Message)
	}
	e := api.Errorf(api.ErrorCodeInvalidRequest, "Invalid request: %s", strings.Join(texts, "; "))
	e.Details = details
	return e
}

// invalidParameter is for what the document cannot say.
func invalidParameter(name, message string) *api.Error {
	return invalidDetails([]api.ErrorDetail{{Field: name, Message: message}})
}

// unbound is for what the validator lets pass and the generated code cannot read: a parameter that is given twice.
func unbound(err error) *api.Error {
	name := "request"
	var format *InvalidParamFormatError
	var many *TooManyValuesForParamError
	switch {
	case errors.As(err, &format):
		name = format.ParamName
	case errors.As(err, &many):
		name = many.ParamName
	}
	return invalidParameter(name, "may be given only once")
}

func detail(err error) api.ErrorDetail {
	var request *openapi3filter.RequestError
	if !errors.As(err, &request) {
		return api.ErrorDetail{Field: "request", Message: "cannot be read"}
	}
	if parameter := request.Parameter; parameter != nil {
		d := api.ErrorDetail{Field: parameter.Name, Message: "must be given"}
		if !errors.Is(err, openapi3filter.ErrInvalidRequired) {
			d.Message = "must be " + allowed(parameter.Schema.Value)
		}
		return d
	}
	d := api.ErrorDetail{Field: "body", Message: cmp.Or(request.Reason, "cannot be read")}
	if schema, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		d.Message = schema.Reason
		if pointer := schema.JSONPointer(); len(pointer) > 0 {
			d.Field = strings.Join(pointer, ".")
		}
	}
	const enough = 300
	if len(d.Message) > enough {
		d.Message = strings.ToValidUTF8(d.Message[:enough], "") + "…"
	}
	return d
}

const cursorPattern = `^[0-9a-z]{1,40}-[0-9]{1,20}(-[0-9a-z]{1,16})?$`

const cursorWords = "a cursor as a list or a stream gave it, <epoch>-<revision>"

// patterns says in words what the document says in regular expressions.
var patterns = map[string]string{
	`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`:  "lower case letters, digits and dashes, beginning and ending with a letter or a digit",
	`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`: "lower case letters, digits, dots and dashes, beginning and ending with a letter or a digit",
	cursorPattern:                      cursorWords,
}

// allowed says in words which values a schema takes.
func allowed(schema *openapi3.Schema) string {
	switch {
	case len(schema.Enum) > 0:
		values := make([]string, len(schema.Enum))
		for i, value := range schema.Enum {
			values[i] = fmt.Sprint(value)
		}
		return "one of " + strings.Join(values, ", ")
	case schema.Type.Is(openapi3.TypeBoolean):
		return "true or false"
	case schema.Type.Is(openapi3.TypeArray):
		return allowed(schema.Items.Value) + "; or several of them, separated by commas"
	case schema.Type.Is(openapi3.TypeInteger):
		switch {
		case schema.Min != nil && schema.Max != nil:
			return fmt.Sprintf("a whole number from %.0f to %.0f", *schema.Min, *schema.Max)
		case schema.Min != nil:
			return fmt.Sprintf("a whole number of at least %.0f", *schema.Min)
		}
		return "a whole number"
	}
	length := ""
	switch {
	case schema.MaxLength != nil && schema.MinLength > 0:
		length = fmt.Sprintf("%d to %d characters", schema.MinLength, *schema.MaxLength)
	case schema.MaxLength != nil:
		length = fmt.Sprintf("at most %d characters", *schema.MaxLength)
	}
	switch words := patterns[schema.Pattern]; {
	case words == cursorWords || length == "" && words != "":
		return words
	case words != "":
		return length + ": " + words
	case schema.Pattern != "":
		return "text like " + schema.Pattern
	}
	return cmp.Or(length, "text")
}
