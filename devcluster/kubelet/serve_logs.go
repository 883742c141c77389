package kubelet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// logOptions are the query of a log request, with the names that the API server
// uses.
type logOptions struct {
	follow, timestamps, previous bool
	after                        time.Time
	// tail and limit are negative if not given.
	tail, limit int64
}

func parseLogOptions(query url.Values, now time.Time) (logOptions, error) {
	o := logOptions{tail: -1, limit: -1}
	for name, into := range map[string]*bool{"follow": &o.follow, "timestamps": &o.timestamps, "previous": &o.previous} {
		if text := query.Get(name); text != "" {
			value, err := strconv.ParseBool(text)
			if err != nil {
				return o, fmt.Errorf("%s=%s is neither true nor false", name, text)
			}
			*into = value
		}
	}
	since := int64(-1)
	for name, into := range map[string]*int64{"tailLines": &o.tail, "limitBytes": &o.limit, "sinceSeconds": &since} {
		if text := query.Get(name); text != "" {
			value, err := strconv.ParseInt(text, 10, 64)
			if err != nil || value < 0 {
				return o, fmt.Errorf("%s=%s is not a number of zero or more", name, text)
			}
			*into = value
		}
	}
	if since >= 0 {
		o.after = now.Add(-time.Duration(since) * time.Second)
	}
	if text := query.Get("sinceTime"); text != "" {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return o, fmt.Errorf("sinceTime=%s is not a time like 2006-01-02T15:04:05Z", text)
		}
		o.after = at
	}
	return o, nil
}

func (s *Server) serveLogs(w http.ResponseWriter, r *http.Request) {
	until := time.Now()
	options, err := parseLogOptions(r.URL.Query(), until)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	container := Container{
		Namespace: r.PathValue("namespace"),
		Pod:       r.PathValue("pod"),
		Name:      r.PathValue("container"),
		Previous:  options.previous,
	}
	if s.logs == nil {
		http.Error(w, "this cluster runs without a source of logs", http.StatusNotFound)
		return
	}
	lines, err := s.logs.Lines(r.Context(), container, options.after, until)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	out := newLogWriter(w, options)
	if options.tail >= 0 {
		last := newRing(options.tail)
		for at, text := range lines {
			last.add(at, text)
		}
		lines = last.all
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for at, text := range lines {
		if out.line(at, text) != nil {
			return
		}
	}
	if out.flush() != nil || !options.follow || options.previous {
		return
	}
	tick := time.NewTicker(s.pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		after := until
		until = time.Now()
		lines, err := s.logs.Lines(r.Context(), container, after, until)
		if err != nil {
			// The container is gone: its log ends here.
			return
		}
		for at, text := range lines {
			if out.line(at, text) != nil {
				return
			}
		}
		if out.flush() != nil {
			return
		}
	}
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrInvalid):
		// As a kubelet says of a container that waits to start.
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}

// errLimit ends a log at its byte limit.
var errLimit = errors.New("byte limit reached")

type logWriter struct {
	out        *bufio.Writer
	response   *http.ResponseController
	timestamps bool
	left       int64 // bytes, negative for no limit
}

func newLogWriter(w http.ResponseWriter, o logOptions) *logWriter {
	return &logWriter{
		out: bufio.NewWriter(w), response: http.NewResponseController(w),
		timestamps: o.timestamps, left: o.limit,
	}
}

func (l *logWriter) line(at time.Time, text string) error {
	if l.timestamps {
		text = at.UTC().Format(time.RFC3339Nano) + " " + text
	}
	text += "\n"
	last := false
	if l.left >= 0 {
		if int64(len(text)) >= l.left {
			text, last = text[:l.left], true
		}
		l.left -= int64(len(text))
	}
	if _, err := io.WriteString(l.out, text); err != nil {
		return err
	}
	if last {
		return errors.Join(errLimit, l.flush())
	}
	return nil
}

func (l *logWriter) flush() error {
	if err := l.out.Flush(); err != nil {
		return err
	}
	return l.response.Flush()
}

// ring keeps the last lines of a log that may be much longer.
type ring struct {
	at    []time.Time
	text  []string
	next  int
	limit int64
}

func newRing(limit int64) *ring { return &ring{limit: limit} }

func (r *ring) add(at time.Time, text string) {
	switch {
	case r.limit == 0:
	case int64(len(r.text)) < r.limit:
		r.at, r.text = append(r.at, at), append(r.text, text)
	default:
		r.at[r.next], r.text[r.next] = at, text
		r.next = (r.next + 1) % len(r.text)
	}
}

// all yields the lines, oldest first.
func (r *ring) all(yield func(time.Time, string) bool) {
	for i := range r.text {
		at := (r.next + i) % len(r.text)
		if !yield(r.at[at], r.text[at]) {
			return
		}
	}
}
