package api

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var bucketKey = regexp.MustCompile(`^[-/_=a-zA-Z0-9]+\.[-/_=a-zA-Z0-9]+\.[-/_=a-zA-Z0-9]+$`)

// TestEveryKeyHasItsOwnName: any text makes a key that JetStream accepts as three tokens, and comes back as it was.
func TestEveryKeyHasItsOwnName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Key{Kind: Kind(rapid.StringN(1, 9, -1).Draw(t, "kind")), Namespace: rapid.String().Draw(t, "namespace"), ID: rapid.StringN(1, 40, -1).Draw(t, "id")}
		require.Regexp(t, bucketKey, k.String())
		back, err := ParseKey(k.String())
		require.NoError(t, err)
		require.Equal(t, k, back)
	})
	require.Equal(t, "deployments.ml.ml/kaito/llama-3=2E1", DeploymentKey("ml", "kaito", "llama-3.1").String())
	require.Equal(t, "capacity._.cluster", CapacityKey().String())
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", ".", "a.b.c", "a._.c", "a.=5F.c", "a.b.c.d", "a.b.=", "a.b.=G0", "a.b.=61", "deployments.ml.ml/kaito/x", "*.>.x", "a. .b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err != nil {
			return
		}
		require.Equal(t, s, k.String(), "one key has one name")
		require.Regexp(t, bucketKey, s)
	})
}

func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"", "-", "a-1", "a-01", "a-18446744073709551616", "A-1", "a-1-2", "a--1", "a-+1", "é-1", "a-1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			require.Less(t, len(err.Error()), 500, "a hostile cursor must not fill the log")
			return
		}
		require.Equal(t, s, c.String())
	})
}
