package logs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever the times are: the order within each log stays, and where they do not go backwards all are in their order.
func TestMergeKeepsEachLogsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ascending := rapid.Bool().Draw(t, "ascending")
		logs := [][]Line{}
		for i := range rapid.IntRange(0, 5).Draw(t, "logs") {
			var lines []Line
			for j, second := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 12).Draw(t, "times") {
				lines = append(lines, Line{Time: time.Unix(int64(second), 0), Text: fmt.Sprintf("%d/%d", i, j)})
				if !ascending && second == 9 {
					lines[j].Time = time.Time{}
				}
			}
			if ascending {
				slices.SortStableFunc(lines, func(a, b Line) int { return a.Time.Compare(b.Time) })
			}
			logs = append(logs, lines)
		}
		merged := Merge(logs)
		again := make([][]Line, len(logs))
		for _, line := range merged {
			again[line.Log] = append(again[line.Log], line.Line)
		}
		require.Equal(t, logs, again)
		if ascending {
			require.True(t, slices.IsSortedFunc(merged, func(a, b From) int { return a.Time.Compare(b.Time) }))
		}
	})
}

func TestLines(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 10, 0, 0, 5, time.UTC)
	require.Empty(t, Lines(""))
	require.Equal(t, []Line{{at, "one", false}, {at, "", false}, {time.Time{}, "no time at all", false}, {time.Time{}, "", false}, {at, "last", false}},
		Lines("2026-05-01T10:00:00.000000005Z one\r\n2026-05-01T10:00:00.000000005Z \nno time at all\n\n2026-05-01T10:00:00.000000005Z last"))
}

func TestFollow(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 5, 1, 10, 0, 0, 5, time.UTC)
	pods := against(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "2026-05-01T10:00:00.000000005Z told before\n2026-05-01T10:00:00.000000006Z \x1b[31m%s\x1b[0m\n", r.URL.Query().Encode())
		fmt.Fprintf(w, "2026-05-01T10:00:01Z %s\n2026-05-01T10:00:02Z half a line", strings.Repeat("x", 3*MaxLine))
	})
	var all []Line
	require.NoError(t, Follow(t.Context(), pods, Request{Namespace: "ml", Pod: "llama-0", Since: since}, func(lines []Line) error {
		all = append(all, lines...)
		return nil
	}))
	require.Len(t, all, 3)
	require.Equal(t, "follow=true&sinceTime=2026-05-01T10%3A00%3A00Z&timestamps=true", all[0].Text)
	require.True(t, all[1].Cut)
	require.LessOrEqual(t, len(all[1].Text), MaxLine)
	require.Equal(t, Line{Time: since.Add(2*time.Second - 5), Text: "half a line"}, all[2])

	stop := errors.New("enough")
	require.ErrorIs(t, Follow(t.Context(), pods, Request{Namespace: "ml", Pod: "llama-0"}, func([]Line) error { return stop }), stop)
}

// Whoever does not take what there is, is not sent more than buffers hold on the way; and the end of ctx ends it at once.
func TestFollowReadsNoFasterThanItsReader(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	gone := make(chan struct{})
	pods := against(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		line := []byte("2026-05-01T10:00:00Z " + strings.Repeat("x", 1000) + "\n")
		for r.Context().Err() == nil {
			n, err := w.Write(line)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan int)
	ended := make(chan error)
	go func() {
		ended <- Follow(ctx, pods, Request{Namespace: "ml", Pod: "chatty"}, func(lines []Line) error {
			size := 0
			for _, l := range lines {
				size += l.size()
			}
			select {
			case taken <- size:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	require.LessOrEqual(t, <-taken, 2*batchBytes)
	var before int64 = -1
	require.Eventually(t, func() bool { // the server is stopped
		now := written.Load()
		stands := now == before
		before = now
		return stands
	}, 10*time.Second, 200*time.Millisecond)
	require.Less(t, before, int64(16<<20), "what the sockets of this machine hold, and no more")
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	<-gone
}
