package httpapi

import (
	"math"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"

	"github.com/kubefoundry/kubefoundry/api"
)

// Limits bound what one caller can cost the others. Zero means none.
type Limits struct {
	RequestRate  float64 // requests per second, in the long run
	RequestBurst int     // requests at once
	Streams      int     // open at once
}

// limits keeps count of callers, by name.
type limits struct {
	Limits
	buckets *lru.Cache // of *rate.Limiter

	mu      sync.Mutex
	streams map[string]int
}

// maxCallers is how many callers' rates are remembered. One that is forgotten begins anew.
const maxCallers = 10_000

func newLimits(l Limits) *limits {
	return &limits{Limits: l, buckets: lru.New(maxCallers), streams: map[string]int{}}
}

// request takes note of one request.
func (l *limits) request(caller string) error {
	if l.RequestRate <= 0 {
		return nil
	}
	kept, ok := l.buckets.Get(caller)
	if !ok {
		l.mu.Lock() // two first requests must not have a bucket each
		if kept, ok = l.buckets.Get(caller); !ok {
			kept = rate.NewLimiter(rate.Limit(l.RequestRate), max(l.RequestBurst, 1))
			l.buckets.Add(caller, kept)
		}
		l.mu.Unlock()
	}
	bucket := kept.(*rate.Limiter)
	if bucket.Allow() {
		return nil
	}
	wait := time.Duration((1 - min(bucket.Tokens(), 1)) / l.RequestRate * float64(time.Second))
	return &limitError{api.Errorf(api.ErrorCodeTooManyRequests,
		"you sent more than %g requests per second; use the stream in place of asking again and again, or have --request-rate raised", l.RequestRate), wait}
}

// open takes note of a stream that begins, and close of its end.
func (l *limits) open(caller string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Streams > 0 && l.streams[caller] >= l.Streams {
		return api.Errorf(api.ErrorCodeTooManyStreams, "you have %d streams open, which is the limit for one caller; close some, or have --max-streams-per-caller raised", l.Streams)
	}
	l.streams[caller]++
	return nil
}

func (l *limits) close(caller string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[caller]--; l.streams[caller] == 0 {
		delete(l.streams, caller)
	}
}

// limitError is an *api.Error that is over by itself after a time.
type limitError struct {
	limit *api.Error
	after time.Duration
}

func (e *limitError) Error() string { return e.limit.Error() }

// Unwrap lets errors.As find the *api.Error.
func (e *limitError) Unwrap() error { return e.limit }

// retryAfter is in whole seconds, as HTTP wants it.
func (e *limitError) retryAfter() string {
	return strconv.Itoa(max(1, int(math.Ceil(e.after.Seconds()))))
}
