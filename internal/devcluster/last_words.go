package devcluster

import (
	"io"
	"sync"
)

// lastWords keeps the end of what a cluster says on standard error, for the error
// if it fails.
type lastWords struct {
	mu   sync.Mutex
	text []byte
	also io.Writer // may be nil
}

const lastWordsSize = 16 << 10

func newLastWords(also io.Writer) *lastWords { return &lastWords{also: also} }

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if excess := len(l.text) - lastWordsSize; excess > 0 {
		l.text = append(l.text[:0], l.text[excess:]...)
	}
	if l.also != nil {
		return l.also.Write(p)
	}
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
