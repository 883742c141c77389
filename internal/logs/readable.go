package logs

import (
	"bytes"
	"unicode/utf8"
)

// readable makes what a container wrote fit to be read: without escape sequences, valid UTF-8, and limit bytes at most, from
// the end. cut says that b begins somewhere in the log and not at a line.
func readable(b []byte, cut bool, limit int) string {
	if cut {
		b = wholeLines(b)
	}
	b = bytes.ToValidUTF8(plain(b), []byte(string(utf8.RuneError)))
	if len(b) > limit { // each of the bytes that were not UTF-8 has become three
		b = wholeLines(b[len(b)-limit:])
	}
	return string(b)
}

// wholeLines leaves out what stands before the first line break: the rest of a line, and perhaps of a character or of an
// escape sequence. Where there is nothing after it, the line is longer than what is kept, and its rest is all there is.
func wholeLines(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 && i+1 < len(b) {
		return b[i+1:]
	}
	for len(b) > 0 && !utf8.RuneStart(b[0]) {
		b = b[1:]
	}
	return b
}

const (
	escape = 0x1b
	bell   = 0x07
)

// plain takes escape sequences out, those that are complete. What is only the beginning of one stays as it is.
func plain(b []byte) []byte {
	i := bytes.IndexByte(b, escape)
	if i < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for ; i >= 0; i = bytes.IndexByte(b, escape) {
		out = append(out, b[:i]...)
		n := sequence(b[i:])
		if n == 0 { // not one: the escape itself is text
			out = append(out, escape)
			n = 1
		}
		b = b[i+n:]
	}
	return append(out, b...)
}

// sequence is the length of the escape sequence that b begins with (ECMA-48, 5.4 and 5.6), 0 where it is none or not complete.
// It looks no further than the next escape, so that a log full of beginnings costs no more than any other.
func sequence(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch c := b[1]; {
	case c == '[': // CSI: colours, movements
		i := 2
		for i < len(b) && b[i] >= 0x30 && b[i] <= 0x3f {
			i++
		}
		return final(b, i, 0x40)
	case c == ']': // OSC: titles, links
		for i := 2; i < len(b); i++ {
			switch b[i] {
			case bell:
				return i + 1
			case escape:
				if i+1 < len(b) && b[i+1] == '\\' {
					return i + 2
				}
				return 0
			case '\n': // no title has one: this was no OSC, and the next lines are not its text
				return 0
			}
		}
	case c >= 0x20 && c <= 0x2f: // choice of character sets, part of what `tput sgr0` prints
		return final(b, 1, 0x30)
	}
	return 0
}

// final passes over intermediate bytes from b[i] on, and returns the length up to a final byte of at least from.
func final(b []byte, i int, from byte) int {
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2f {
		i++
	}
	if i < len(b) && b[i] >= from && b[i] <= 0x7e {
		return i + 1
	}
	return 0
}
