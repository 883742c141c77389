package httpapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// wire is the response of a stream, on a connection that was taken from net/http. A stream is idle nearly all of its life,
// and net/http would keep 10 KiB of buffers and a deep stack for it all that time; here an event has a buffer only while
// it is being written. The body ends with the connection, as HTTP/1.0 and 1.1 allow, so that nothing has to frame it.
//
// It is the http.ResponseWriter of one goroutine.
type wire struct {
	conn    net.Conn
	header  http.Header
	buffers *sync.Pool
	event   *[]byte // what is rendered and not written yet; nil between events
}

// maxKeptBuffer bounds the buffers that are used again: one document of a megabyte must not stay for ever.
const maxKeptBuffer = 128 << 10

// take takes the connection of a request. It fails with HTTP/2, where connections carry many requests.
func take(w http.ResponseWriter, buffers *sync.Pool) (*wire, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return &wire{conn: conn, header: w.Header().Clone(), buffers: buffers}, nil
}

// Header implements http.ResponseWriter.
func (w *wire) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *wire) WriteHeader(status int) {
	w.header.Set("Connection", "close")
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status)) // a buffer takes everything
	_ = w.header.Write(w)
	_, _ = w.Write([]byte("\r\n"))
	w.header = nil
}

// Write implements http.ResponseWriter. Nothing leaves before the flush that ends an event.
func (w *wire) Write(b []byte) (int, error) {
	if w.event == nil {
		w.event, _ = w.buffers.Get().(*[]byte)
		if w.event == nil {
			w.event = new([]byte)
		}
	}
	*w.event = append(*w.event, b...)
	return len(b), nil
}

// FlushError is what http.ResponseController calls.
func (w *wire) FlushError() error {
	if w.event == nil {
		return nil
	}
	event := w.event
	w.event = nil
	_, err := w.conn.Write(*event)
	if cap(*event) <= maxKeptBuffer {
		*event = (*event)[:0]
		w.buffers.Put(event)
	}
	if err != nil {
		// A part of the event may be out. Whatever came after it would be read as its rest.
		_ = w.conn.Close()
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

// SetWriteDeadline is what http.ResponseController calls.
func (w *wire) SetWriteDeadline(t time.Time) error { return w.conn.SetWriteDeadline(t) }

// maxIdleTalk is how much a client may send where nothing is expected of it.
const maxIdleTalk = 4 << 10

// listen calls gone when the client leaves. A client of a stream has nothing to say; one that goes on talking is left.
func (w *wire) listen(gone context.CancelFunc) {
	defer gone()
	var b [64]byte
	for heard := 0; heard < maxIdleTalk; {
		n, err := w.conn.Read(b[:])
		if err != nil {
			return
		}
		heard += n
	}
}
