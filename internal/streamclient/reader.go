package streamclient

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"time"
)

const (
	// maxLine bounds one line. The server ends a batch at 64 KiB, but never splits a document.
	maxLine = 1 << 20
	// maxData bounds what the lines of one event add up to.
	maxData = 4 << 20
)

// ErrTooLong says that the server sent more at once than a stream of documents has reason to.
var ErrTooLong = errors.New("the server sent a line longer than 1 MiB, or an event longer than 4 MiB")

// Reader takes a stream of Server-Sent Events apart, by the rules of the HTML standard. One is left out: a carriage return
// alone does not end a line, since it could not be told apart from the first half of a line end without waiting.
type Reader struct {
	lines *bufio.Reader
	// long is room for lines that are longer than the buffer of lines.
	long []byte
	data []byte
	kind string
	// id is the last one sent: it holds for all events until the next.
	id    string
	retry time.Duration
	begun bool
}

// NewReader reads events from a stream which goes on from the cursor `id`.
func NewReader(stream io.Reader, id string) *Reader {
	return &Reader{lines: bufio.NewReaderSize(stream, 16<<10), id: id}
}

// Cursor is the id that the stream sent last, be it with an event or without.
func (r *Reader) Cursor() string { return r.id }

// Retry is how long the server asks to wait before the next connection, 0 where it did not.
func (r *Reader) Retry() time.Duration { return r.retry }

// Next waits for the next event. Its data is valid until the next call. An event that the stream ends in the middle of is
// not an event: then the error is io.EOF, and the cursor is unchanged.
func (r *Reader) Next() (Event, error) {
	r.kind, r.data = "", r.data[:0]
	id, some := r.id, false
	for {
		line, err := r.line()
		if err != nil {
			return Event{}, err
		}
		if len(line) == 0 {
			r.id = id
			if !some {
				r.kind = ""
				continue
			}
			event := Event{Type: r.kind, Cursor: id, Data: r.data[:len(r.data)-1]}
			if event.Type == "" {
				event.Type = "message"
			}
			return event, nil
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(field) {
		case "event":
			r.kind = string(value)
		case "data":
			if len(r.data)+len(value) >= maxData {
				return Event{}, ErrTooLong
			}
			r.data, some = append(append(r.data, value...), '\n'), true
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				id = string(value)
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 32); err == nil {
				r.retry = time.Duration(min(ms, math.MaxInt32)) * time.Millisecond
			}
		}
	}
}

// line returns the next line without its end. It is valid until the next call.
func (r *Reader) line() ([]byte, error) {
	line, err := r.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(r.long) > maxLine {
				return nil, ErrTooLong
			}
			line, err = r.lines.ReadSlice('\n')
			r.long = append(r.long, line...)
		}
		line = r.long
	}
	if err != nil {
		return nil, err
	}
	if len(line)-1 > maxLine {
		return nil, ErrTooLong
	}
	line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
	if !r.begun {
		r.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	return line, nil
}
