package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"llama-3":                       "llama-3",
		"  two  words ":                 "two words",
		"line\nbreak\r\n\ttab":          "line break tab",
		"\x1b[31mred\x1b[0m":            "[31mred [0m",
		"\x1b]0;title\a":                "]0;title",
		"\u009b2J":                      "2J",
		"\u202egnitirw":                 "gnitirw",
		"zero\u200bwidth":               "zero width",
		"bad \xff\xfe bytes":            "bad \ufffd\ufffd bytes",
		"para\u2029graph\u00a0no-break": "para graph no-break",
		"grüße, 模型":                     "grüße, 模型",
		"":                              "",
		"\x00":                          "",
	} {
		assert.Equal(t, want, plain(text, 100), "%q", text)
	}
	assert.Equal(t, "abc", plain("abcdef", 3))
}

func TestFitCountsColumns(t *testing.T) {
	for _, tt := range []struct {
		text  string
		limit int
		want  string
	}{
		{"llama", 5, "llama"},
		{"llama", 4, "lla…"},
		{"llama", 1, "…"},
		{"llama", 0, ""},
		{"llama", -1, ""},
		{"模型模型", 8, "模型模型"},
		{"模型模型", 7, "模型模…"},
		{"模型模型", 6, "模型…"},
		{"e\u0301te\u0301", 3, "e\u0301te\u0301"},
	} {
		assert.Equal(t, tt.want, fit(tt.text, tt.limit), "%q in %d", tt.text, tt.limit)
	}
	assert.Equal(t, "ab   ", pad("ab", 5))
}

func FuzzPlain(f *testing.F) {
	f.Add("\x1b[31mred\n", 10)
	f.Add("模型\u0301\xff", 3)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit %= 100
		got := plain(text, 50)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && harmful(r) }) {
			t.Errorf("%q", got)
		}
		if n := columns(fit(got, limit)); n > max(limit, 0) {
			t.Errorf("%d columns in %d", n, limit)
		}
		if limit > 0 && columns(pad(got, limit)) != limit {
			t.Errorf("%q is not %d columns wide", pad(got, limit), limit)
		}
	})
}
