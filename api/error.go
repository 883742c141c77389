package api

import (
	"fmt"
	"net/http"
)

// Error makes ErrorBody's content an error, so that a handler returns what the caller will read.
func (e *Error) Error() string { return e.Message }

// statuses maps each code to its HTTP status, once.
func (c ErrorCode) status() int {
	switch c {
	case ErrorCodeInvalidRequest:
		return http.StatusBadRequest
	case ErrorCodeUnauthenticated:
		return http.StatusUnauthorized
	case ErrorCodeForbidden:
		return http.StatusForbidden
	case ErrorCodeNotFound:
		return http.StatusNotFound
	case ErrorCodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case ErrorCodeAmbiguous, ErrorCodeConflict:
		return http.StatusConflict
	case ErrorCodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case ErrorCodeTooManyRequests, ErrorCodeTooManyStreams:
		return http.StatusTooManyRequests
	case ErrorCodeNotSynced, ErrorCodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Errorf makes an error with a code. The text says what failed, on what, and what to do.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, StatusCode: code.status(), Message: fmt.Sprintf(format, args...)}
}
