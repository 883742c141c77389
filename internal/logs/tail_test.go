package logs

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A tail holds what a slice of everything would end with.
func TestTailIsTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		tail := tail{limit: limit}
		var all []byte
		for _, p := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 60), 0, 12).Draw(t, "writes") {
			n, err := tail.Write(p)
			require.NoError(t, err)
			require.Equal(t, len(p), n)
			all = append(all, p...)
		}
		require.Equal(t, len(all) > limit, tail.cut)
		require.Equal(t, string(all[max(0, len(all)-limit):]), string(tail.bytes()))
	})
}

func TestTailOfAShortLogIsSmall(t *testing.T) {
	t.Parallel()
	tail := tail{limit: MaxBytes}
	_, _ = tail.Write([]byte("one line\n"))
	require.Less(t, cap(tail.kept), 1<<10)
}
