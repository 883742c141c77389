package httpapi

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNothingFollowsHalfAnEvent: a client that begins to read again after an event was given up in the middle must not take
// the next one for its rest: it would move its cursor over what it never got.
func TestNothingFollowsHalfAnEvent(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	w := &wire{conn: ours, header: http.Header{}, buffers: &sync.Pool{}}
	read, given := make(chan string, 1), make(chan struct{})
	go func() {
		var half [5]byte
		n, _ := io.ReadFull(theirs, half[:])
		<-given // past the deadline
		rest, _ := io.ReadAll(theirs)
		read <- string(half[:n]) + string(rest)
	}()
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(shortly)))
	_, _ = io.WriteString(w, "first event")
	require.True(t, isTimeout(w.FlushError()))
	require.NoError(t, w.FlushError(), "there is nothing left of it")
	close(given)

	_ = w.SetWriteDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(w, "second event")
	require.Error(t, w.FlushError())
	require.Equal(t, "first", <-read)
}
