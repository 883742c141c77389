package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// subscriber is one client of a stream. It does as little as it can, for it uses the same cores as what is measured: it
// takes the response out of its chunks, counts events, and reads the time of the first change in each.
type subscriber struct {
	crowd  *crowd
	conn   net.Conn
	chunks dechunker
	// rest is what was read and may be the beginning of something.
	rest []byte
	sent int64 // time in the event being read, 0 where none was found yet

	mu      sync.Mutex
	samples samples
}

// subscriberBuffer is for one read.
const subscriberBuffer = 16 << 10

var (
	eventField = []byte("\nevent: ")
	changes    = []byte("changes\n")
	synced     = []byte("synced\n")
	headEnd    = []byte("\r\n\r\n")
)

// subscribe opens a stream and waits for its first `synced`.
func (c *crowd) subscribe(ctx context.Context, address, path string) (*subscriber, error) {
	s := &subscriber{crowd: c}
	ready := make(chan error, 1)
	var err error
	if s.conn, err = new(net.Dialer).DialContext(ctx, "tcp", address); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(s.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", path, address); err != nil {
		return s, err
	}
	c.reading.Go(func() {
		var once sync.Once
		err := s.read(func() { once.Do(func() { ready <- nil }) })
		once.Do(func() { ready <- err })
		if c.closing.Load() {
			return
		}
		c.lost.Add(1)
	})
	select {
	case err := <-ready:
		return s, err
	case <-time.After(30 * time.Second):
		return s, errors.New("no `synced` within 30 s")
	}
}

func (s *subscriber) read(whenSynced func()) error {
	buffer := make([]byte, subscriberBuffer)
	n, body := 0, -1
	for body < 0 { // the response's header
		got, err := s.conn.Read(buffer[n:])
		if err != nil {
			return err
		}
		n += got
		if i := bytes.Index(buffer[:n], headEnd); i >= 0 {
			body = i + len(headEnd)
		} else if n == len(buffer) {
			return errors.New("the response's header does not end")
		}
	}
	if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("refused: %.300s", buffer[:n])
	}
	for data := buffer[body:n]; ; {
		if err := s.take(s.chunks.data(data), whenSynced); err != nil {
			return err
		}
		n, err := s.conn.Read(buffer)
		if err != nil {
			return err
		}
		data = buffer[:n]
	}
}

// take looks for the ends of events. KubeFoundry's SSE library writes `event:` after the data.
func (s *subscriber) take(data []byte, whenSynced func()) error {
	if len(s.rest) > 0 {
		data = append(s.rest, data...)
		s.rest = nil
	}
	for {
		end := bytes.Index(data, eventField)
		if end >= 0 && len(data) < end+len(eventField)+len(changes)+4 {
			// Its name may not be here yet. Whatever this event is, it ends with a few bytes more.
			if !bytes.Contains(data[end+len(eventField):], []byte("\n")) {
				s.rest = bytes.Clone(data)
				return nil
			}
		}
		text := data
		if end >= 0 {
			text = data[:end]
		}
		if s.sent == 0 {
			s.sent, _ = sentAt(text)
		}
		if end < 0 {
			const partial = len(marker) + markerDigits
			s.rest = bytes.Clone(data[max(0, len(data)-partial):])
			return nil
		}
		name := data[end+len(eventField):]
		switch {
		case bytes.HasPrefix(name, changes):
			s.crowd.took(s)
		case bytes.HasPrefix(name, synced):
			whenSynced()
		}
		s.sent, data = 0, name
	}
}
