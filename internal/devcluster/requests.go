package devcluster

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Requests is how many requests for a resource ("tokenreviews", "pods") with a
// verb ("GET", "LIST", "POST", "WATCH"; "" for all) the API server has answered
// since it started, from everybody: take it before and after, and let the other
// tests of the package wait. All groups, versions and subresources count, and all
// codes.
//
// A request counts just after its answer, so one that has returned may be missing
// for an instant, and watches count when they end.
func (c *Cluster) Requests(t testing.TB, resource, verb string) int {
	t.Helper()
	n, err := sumRequests(c.metrics(t), resource, verb)
	if err != nil {
		t.Fatalf("requests for %s: %v", resource, err)
	}
	return n
}

// AuthReviews is how many TokenReviews and SubjectAccessReviews the API server has
// answered: what a server that delegates authentication and authorization costs
// it. [Cluster.Bind] and [Binding.Revoke] ask some SubjectAccessReviews
// themselves.
func (c *Cluster) AuthReviews(t testing.TB) (tokenReviews, subjectAccessReviews int) {
	t.Helper()
	text := c.metrics(t)
	tokenReviews, err := sumRequests(text, "tokenreviews", "POST")
	if err != nil {
		t.Fatalf("reviews: %v", err)
	}
	subjectAccessReviews, err = sumRequests(text, "subjectaccessreviews", "POST")
	if err != nil {
		t.Fatalf("reviews: %v", err)
	}
	return tokenReviews, subjectAccessReviews
}

func (c *Cluster) metrics(t testing.TB) []byte {
	t.Helper()
	text, err := c.admin(t).Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatalf("metrics of the API server: %v", err)
	}
	return text
}

// sumRequests adds up the series of apiserver_request_total with these labels,
// whatever their others are.
func sumRequests(text []byte, resource, verb string) (int, error) {
	sum := 0.0
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "apiserver_request_total{")
		labels, value, cut := strings.Cut(rest, "} ")
		if !ok || !cut {
			continue
		}
		// A comma before the first, so that "resource" is not the end of "subresource".
		labels = "," + labels
		if !strings.Contains(labels, fmt.Sprintf(",resource=%q", resource)) ||
			verb != "" && !strings.Contains(labels, fmt.Sprintf(",verb=%q", verb)) {
			continue
		}
		// A time may follow the value.
		value, _, _ = strings.Cut(value, " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metrics: %w", err)
		}
		sum += n
	}
	return int(sum), lines.Err()
}
