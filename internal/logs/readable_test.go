package logs

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestReadable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ in, out string }{
		"nothing":                     {"", ""},
		"text":                        {"ready\nGET /health 200\n", "ready\nGET /health 200\n"},
		"colours":                     {"\x1b[32mINFO\x1b[0m ready \x1b[1;38;5;208mnow\x1b[m\n", "INFO ready now\n"},
		"a cleared line":              {"10 %\r\x1b[2K\x1b[1G20 %\n", "10 %\r20 %\n"},
		"a private mode":              {"\x1b[?25lwait\x1b[?25h", "wait"},
		"intermediate bytes":          {"\x1b[1 qblock", "block"},
		"a title":                     {"\x1b]0;vllm serve\x07started", "started"},
		"a link":                      {"see \x1b]8;;https://example.org\x1b\\the guide\x1b]8;;\x1b\\.", "see the guide."},
		"a character set":             {"\x1b(B\x1b[mplain", "plain"},
		"half a sequence at the end":  {"ready\x1b[3", "ready\x1b[3"},
		"half a sequence in a line":   {"a\x1b[\nb", "a\x1b[\nb"},
		"a title that never ends":     {"a\x1b]0;b\nc\x07", "a\x1b]0;b\nc\x07"},
		"a title cut off by a colour": {"\x1b]0;a\x1b[31mb", "\x1b]0;ab"},
		"an escape alone":             {"a\x1b", "a\x1b"},
		"an escape before a letter":   {"\x1bZ", "\x1bZ"},
		"letters of many":             {"größer 日本語 🚀", "größer 日本語 🚀"},
		"not UTF-8":                   {"a\xff\xfeb\xc3", "a\uFFFDb\uFFFD"},
		"UTF-8 cut by a colour":       {"\xc3\x1b[0m\xbc", "ü"},
		"a progress bar":              {"loading:  10%|█         |\r", "loading:  10%|█         |\r"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.out, readable([]byte(test.in), false, MaxBytes))
		})
	}
}

func TestReadableCut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		in    string
		cut   bool
		limit int
		out   string
	}{
		"the line that was begun goes":   {"nd of one\ntwo\nthree\n", true, 100, "two\nthree\n"},
		"with its escape sequence":       {"[0m one\n\x1b[1mtwo\n", true, 100, "two\n"},
		"one line that is too long":      {"\xbc of a long line", true, 100, " of a long line"},
		"and has ended":                  {"of a long line\n", true, 100, "of a long line\n"},
		"nothing was cut":                {"one\ntwo\n", false, 100, "one\ntwo\n"},
		"grows beyond the limit":         {"one\n\xffa\xffb\xffc\n", false, 14, "\uFFFDa\uFFFDb\uFFFDc\n"},
		"grows further":                  {"one\n\xffa\xffb\xffc\ntwo\n", false, 12, "two\n"},
		"grows in a line without an end": {"\xffa\xffb\xffc", false, 8, "\uFFFDb\uFFFDc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.out, readable([]byte(test.in), test.cut, test.limit))
		})
	}
}

// A log of nothing but beginnings takes no more than its length.
func TestBeginningsAreCheap(t *testing.T) {
	t.Parallel()
	for _, beginning := range []string{"\x1b]", "\x1b[", "\x1b]0;", "\x1b(", "\x1b"} {
		start := time.Now()
		in := strings.Repeat(beginning, MaxBytes/len(beginning))
		require.Len(t, readable([]byte(in), false, MaxBytes), len(in))
		require.Less(t, time.Since(start), 5*time.Second)
	}
}

func FuzzReadable(f *testing.F) {
	for _, seed := range []string{"\x1b[31mred\x1b[0m\n", "\x1b]0;t\x07", "\x1b]8;;x\x1b\\y", "\xff\n\xfe", "\x1b[\x1b[0m0m"} {
		f.Add([]byte(seed), true, uint8(10))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut bool, limit uint8) {
		given := bytes.Clone(in)
		out := readable(in, cut, int(limit))
		require.Equal(t, given, in, "the input is changed")
		require.True(t, utf8.ValidString(out))
		require.LessOrEqual(t, len(out), int(limit))
		if !cut && len(in) <= int(limit) && utf8.Valid(in) && !bytes.ContainsRune(in, escape) {
			require.Equal(t, string(in), out)
		}
	})
}
