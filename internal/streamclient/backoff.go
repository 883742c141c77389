package streamclient

import (
	"math/rand/v2"
	"time"
)

const (
	// firstDelay and longestDelay bound the wait before another connection; it doubles with each one that fails.
	firstDelay   = 500 * time.Millisecond
	longestDelay = 30 * time.Second
	// stable is how long a connection must hold to make the failures before it forgotten. Were it any shorter, a server
	// that accepts and then fails would be asked without pause.
	stable = 10 * time.Second
	// longestAsked bounds what a server may ask for.
	longestAsked = 5 * time.Minute
)

// backoff decides how long to wait. The wait is drawn at random, so that the clients of a server that comes back do not
// come all at once.
type backoff struct {
	failures int
}

func (b *backoff) succeeded(held time.Duration) {
	if held >= stable {
		b.failures = 0
	}
}

// next returns the wait after one more failure; `asked` is the least that the server wants.
func (b *backoff) next(asked time.Duration) time.Duration {
	limit := longestDelay
	if b.failures < 6 {
		limit = firstDelay << b.failures
	}
	b.failures++
	return min(asked, longestAsked) + limit/2 + rand.N(limit/2+1)
}
