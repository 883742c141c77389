package main

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// plain makes text from the cluster harmless in a terminal: what would move the cursor, start an escape sequence, break
// the line, turn the direction of writing or show as nothing becomes a space, or a replacement character where it is not
// text at all. Runs of spaces become one. At most limit characters are kept.
func plain(text string, limit int) string {
	var b strings.Builder
	space := true // so that leading spaces go
	for n := 0; text != "" && n < limit; {
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		if harmful(r) {
			r = ' '
		}
		if r == ' ' {
			if space {
				continue
			}
			space = true
		} else {
			space = false
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSuffix(b.String(), " ")
}

func harmful(r rune) bool {
	return unicode.IsControl(r) || // C0, DEL, and C1, which some terminals take for escapes
		unicode.IsSpace(r) ||
		unicode.Is(unicode.Cf, r) || // directions, joiners, byte order mark
		unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) ||
		unicode.Is(unicode.Co, r)
}

// columns returns how many columns of a terminal a plain text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1F300 && r <= 0x1FAFF:
		return 2
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts a plain text to a number of columns, with an ellipsis where something is missing.
func fit(text string, limit int) string {
	if limit <= 0 {
		return ""
	}
	if columns(text) <= limit {
		return text
	}
	n := 0
	for i, r := range text {
		if n+runeColumns(r) > limit-1 {
			return text[:i] + "…"
		}
		n += runeColumns(r)
	}
	return text
}

// pad fits a plain text and fills it up with spaces.
func pad(text string, limit int) string {
	text = fit(text, limit)
	return text + strings.Repeat(" ", max(limit-columns(text), 0))
}
