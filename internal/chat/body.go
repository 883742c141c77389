package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// WithModel is the body of a request with a model named in it: its own, or served where it names none.
func WithModel(body []byte, served string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, errors.New("must be a JSON object, as OpenAI's API has it")
	}
	var name string
	if given, ok := fields["model"]; ok && !bytes.Equal(given, []byte("null")) {
		if json.Unmarshal(given, &name) != nil {
			return nil, errors.New("its model must be a text")
		}
	}
	if name != "" || served == "" {
		return body, nil
	}
	var err error
	if fields["model"], err = json.Marshal(served); err == nil {
		body, err = json.Marshal(fields)
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return body, nil
}
