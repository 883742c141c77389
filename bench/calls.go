package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// calls is how many requests the API server has answered by its own count, apart from those for its metrics and probes.
// Watches count when they begin.
func (s *apiServer) calls(ctx context.Context) (float64, error) {
	text, err := s.raw.Get().AbsPath("/metrics").Do(ctx).Raw()
	if err != nil {
		return 0, fmt.Errorf("metrics of the API server: %w", err)
	}
	sum := 0.0
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "apiserver_request_total{")
		labels, value, cut := strings.Cut(rest, "} ")
		if !ok || !cut || strings.Contains(labels, `resource="",scope="",subresource="/`) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metrics of the API server: %w", err)
		}
		sum += n
	}
	return sum, lines.Err()
}
