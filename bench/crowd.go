package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is all the subscribers of a server.
type crowd struct {
	members  []*subscriber
	received atomic.Int64
	lost     atomic.Int64
	closing  atomic.Bool
	reading  sync.WaitGroup
}

// openAtOnce is how many subscribers come at the same time.
const openAtOnce = 32

func newCrowd(ctx context.Context, address, path string, n int) (*crowd, error) {
	c := &crowd{members: make([]*subscriber, n)}
	errs := make(chan error, n)
	slots := make(chan struct{}, openAtOnce)
	for i := range n {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			var err error
			if c.members[i], err = c.subscribe(ctx, address, path); err != nil {
				err = fmt.Errorf("stream %d of %d: %w", i+1, n, err)
			}
			errs <- err
		}()
	}
	var err error
	for range n {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *crowd) took(s *subscriber) {
	if s.sent > 0 {
		s.mu.Lock()
		s.samples = append(s.samples, time.Duration(time.Now().UnixNano()-s.sent))
		s.mu.Unlock()
	}
	c.received.Add(1)
}

// forget begins a measurement.
func (c *crowd) forget() {
	c.received.Store(0)
	for _, s := range c.members {
		s.mu.Lock()
		s.samples = s.samples[:0]
		s.mu.Unlock()
	}
}

// samples are those since forget.
func (c *crowd) samples() samples {
	var all samples
	for _, s := range c.members {
		s.mu.Lock()
		all = append(all, s.samples...)
		s.mu.Unlock()
	}
	return all
}

// wait waits until so many events were received since forget, or no more come; 0 means until no more come.
func (c *crowd) wait(n int64) {
	last, at := int64(-1), time.Now()
	for {
		received := c.received.Load()
		if n > 0 && received >= n {
			return
		}
		if received != last {
			last, at = received, time.Now()
		}
		if time.Since(at) > enough {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// enough is how long nothing comes when no more will.
const enough = 300 * time.Millisecond

func (c *crowd) close() {
	c.closing.Store(true)
	for _, s := range c.members {
		if s != nil && s.conn != nil {
			_ = s.conn.Close()
		}
	}
	c.reading.Wait()
}

// stall opens a stream and never reads it.
func stall(ctx context.Context, address, path string) (io.Closer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, address)
	return conn, err
}
