package streamclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// StatusError is an answer that is not a stream.
type StatusError struct {
	StatusCode int
	// Code is the API's, empty where something else answered.
	Code api.ErrorCode
	// Message is the server's own words, at most 500 bytes of them.
	Message string
	// RetryAfter is how long the server asks to wait, 0 where it did not.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s (%d)", e.Message, e.StatusCode)
}

// final tells whether asking again would get the same answer: the request is at fault, or the caller's rights. An address
// that is not found counts only before the stream was ever up; later it is a proxy whose server is being replaced.
func (e *StatusError) final(wasUp bool) bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusOK:
		return !wasUp
	case http.StatusForbidden: // a Kubernetes API server says so too when it has just started and does not know its rules yet
		return !wasUp || e.Code != ""
	}
	return e.StatusCode >= 400 && e.StatusCode < 500
}

// refusal makes an error of an answer that is not a stream.
func refusal(response *http.Response) *StatusError {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	refused := &StatusError{StatusCode: response.StatusCode}
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16); err == nil {
		refused.RetryAfter = time.Duration(seconds) * time.Second
	}
	var ours api.ErrorBody
	var kubernetes struct {
		Message string `json:"message"`
	}
	text := strings.TrimSpace(string(bytes.ToValidUTF8(body, []byte("?"))))
	switch {
	case json.Unmarshal(body, &ours) == nil && ours.Error.Message != "":
		refused.Code, refused.Message = ours.Error.Code, ours.Error.Message
	case json.Unmarshal(body, &kubernetes) == nil && kubernetes.Message != "":
		refused.Message = kubernetes.Message
	case response.StatusCode == http.StatusOK:
		refused.Message = fmt.Sprintf("answered with %.60q instead of an event stream: is this KubeFoundry's address?", response.Header.Get("Content-Type"))
	case text != "" && !strings.HasPrefix(text, "<"):
		refused.Message = text
	default:
		refused.Message = http.StatusText(response.StatusCode)
	}
	if len(refused.Message) > 500 {
		refused.Message = strings.ToValidUTF8(refused.Message[:500], "") + "…"
	}
	return refused
}
