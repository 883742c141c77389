package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/client-go/rest"
)

// Model is the one that the body of a request names; empty where it names none. An error says what the body must be.
func Model(body []byte) (name string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return "", errors.New("must be a JSON object, as OpenAI's API has it")
	}
	if given, ok := fields["model"]; ok && !bytes.Equal(given, []byte("null")) {
		if json.Unmarshal(given, &name) != nil {
			return "", errors.New("its model must be a text")
		}
	}
	return name, nil
}

// WithModel is the body of a request that names no model, with one.
func WithModel(body []byte, name string) ([]byte, error) {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(body, &fields)
	if err == nil {
		fields["model"], err = json.Marshal(name)
	}
	if err == nil {
		body, err = json.Marshal(fields)
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return body, nil
}

// Served asks a model server which models it has: the one of this name where there is one, else the first. It is empty where the
// server does not say.
func Served(ctx context.Context, config *rest.Config, of Question, name string) (string, error) {
	of.Method, of.Path, of.Body = http.MethodGet, "v1/models", nil
	of.Limits.Bytes = 1 << 20
	answer, err := Ask(ctx, config, of)
	if err != nil {
		return "", err
	}
	defer answer.Close()
	var text []byte
	if err := answer.Copy(func(piece []byte) error { text = append(text, piece...); return nil }); err != nil {
		return "", err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if answer.Status != http.StatusOK || json.Unmarshal(text, &list) != nil || len(list.Data) == 0 {
		return "", nil
	}
	for _, one := range list.Data {
		if one.ID == name {
			return name, nil
		}
	}
	return list.Data[0].ID, nil
}
