package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// caller asks one address for the same again and again.
type caller struct {
	client *http.Client
	url    string
	gzip   bool
	token  string // empty: none is sent
	bytes  int64  // of the last answer
}

// callersAtOnce is how many ask at the same time where the rate is measured.
const callersAtOnce = 8

func newCaller(address, path string, gzip bool) *caller {
	return &caller{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callersAtOnce, DisableCompression: true}, Timeout: time.Minute},
		url:    "http://" + address + path, gzip: gzip,
	}
}

func (c *caller) once(ctx context.Context) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return 0, err
	}
	if c.gzip {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", c.url, response.Status)
	}
	return n, err
}

// called is what was measured: the time of one request after the other, and the rate of many at the same time.
type called struct {
	p50, p99 time.Duration
	rate     float64 // per second
	requests int
}

// measure asks n times in turn, or for as long as given where that is shorter, and then for that long by callersAtOnce.
func (c *caller) measure(ctx context.Context, n int, atMost time.Duration) (m called, err error) {
	defer c.client.CloseIdleConnections()
	if c.bytes, err = c.once(ctx); err != nil {
		return m, err
	}
	var took samples
	for begun := time.Now(); len(took) < n && time.Since(begun) < atMost; {
		at := time.Now()
		if _, err := c.once(ctx); err != nil {
			return m, err
		}
		took = append(took, time.Since(at))
	}
	m.p50, m.p99 = took.at(50), took.at(99)

	var wg sync.WaitGroup
	counts, errs := make([]int, callersAtOnce), make([]error, callersAtOnce)
	begun := time.Now()
	for i := range callersAtOnce {
		wg.Go(func() {
			for time.Since(begun) < atMost && errs[i] == nil {
				_, errs[i] = c.once(ctx)
				counts[i]++
			}
		})
	}
	wg.Wait()
	seconds := time.Since(begun).Seconds()
	for _, count := range counts {
		m.requests += count
	}
	m.rate = float64(m.requests) / seconds
	m.requests += len(took) + 1
	return m, errors.Join(errs...)
}
