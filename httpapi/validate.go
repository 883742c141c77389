package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	options := &openapi3filter.Options{MultiError: true, ExcludeResponseBody: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _ := mux.CurrentRoute(r).GetPathTemplate()
		item := s.document.Paths.Value(path)
		operation := item.GetOperation(r.Method)
		if len(operation.Parameters) == 0 && operation.RequestBody == nil {
			next.ServeHTTP(w, r)
			return
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

// invalid puts what the validator found into our error, shortened: what a caller sent may be hostile or long.
func invalid(err error) *api.Error {
	var details []api.ErrorDetail
	var all openapi3.MultiError
	if !errors.As(err, &all) {
		all = openapi3.MultiError{err}
	}
	for _, err := range all {
		details = append(details, detail(err))
	}
	texts := make([]string, 0, len(details))
	for _, d := range details {
		texts = append(texts, d.Field+": "+d.Message)
	}
	e := api.Errorf(api.ErrorCodeInvalidRequest, "invalid request: %s", strings.Join(texts, "; "))
	e.Details = details
	return e
}

func detail(err error) api.ErrorDetail {
	d := api.ErrorDetail{Field: "request", Message: err.Error()}
	var request *openapi3filter.RequestError
	if errors.As(err, &request) {
		switch {
		case request.Parameter != nil:
			d.Field = request.Parameter.Name
		case request.RequestBody != nil:
			d.Field = "body"
		}
		if request.Reason != "" {
			d.Message = request.Reason
		}
		if request.Err != nil {
			d.Message = request.Err.Error()
		}
	}
	var schema *openapi3.SchemaError
	if errors.As(err, &schema) {
		d.Message = schema.Reason
		if pointer := schema.JSONPointer(); len(pointer) > 0 && d.Field == "body" {
			d.Field = strings.Join(pointer, ".")
		}
	}
	const enough = 300
	if len(d.Message) > enough {
		d.Message = strings.ToValidUTF8(d.Message[:enough], "") + "…"
	}
	return d
}
