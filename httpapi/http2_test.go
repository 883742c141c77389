package httpapi

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStreamsOverHTTP2: there a connection carries many requests and cannot be taken from net/http, as it is for HTTP/1.
func TestStreamsOverHTTP2(t *testing.T) {
	s := serve(t).fill()
	web := httptest.NewUnstartedServer(s.server.Handler())
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	for range 3 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/api/stream", http.NoBody)
		require.NoError(t, err)
		response, err := web.Client().Do(request)
		require.NoError(t, err)
		require.Equal(t, 2, response.ProtoMajor)
		require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
		require.Equal(t, "no", response.Header.Get("X-Accel-Buffering"))
		var seen []string
		for lines := bufio.NewScanner(response.Body); lines.Scan() && len(seen) < 3; {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				seen = append(seen, event)
			}
		}
		require.Equal(t, []string{"reset", "changes", "synced"}, seen)
		require.NoError(t, response.Body.Close())
	}
}
