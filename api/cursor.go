package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a place in the history of the documents: everything up to Revision of Epoch that Sight shows has been seen. An
// epoch lasts as long as the bucket that counts the revisions. On the wire it is `<epoch>-<revision>`, with `-<sight>` behind
// where the sight has a name; the zero Cursor is "nothing seen".
type Cursor struct {
	Epoch    string
	Revision uint64
	Sight    string // its name, see Sight.Name
}

func (c Cursor) String() string { return string(c.Append(nil)) }

// Append appends the wire form to b.
func (c Cursor) Append(b []byte) []byte {
	b = strconv.AppendUint(append(append(b, c.Epoch...), '-'), c.Revision, 10)
	if c.Sight != "" {
		b = append(append(b, '-'), c.Sight...)
	}
	return b
}

var errCursor = errors.New("want <epoch>-<revision>, as a list or a stream gave it")

// Bounds of what a caller can make the server compare.
const (
	maxEpochLength = 40
	maxSightLength = 16
)

// ParseCursor reads the wire form. It says nothing of whether the cursor can still be served: see view.Changes.
func ParseCursor(s string) (Cursor, error) {
	epoch, rest, ok := strings.Cut(s, "-")
	number, sight, named := strings.Cut(rest, "-")
	if !ok || !isName(epoch, maxEpochLength) || named && !isName(sight, maxSightLength) {
		return Cursor{}, fmt.Errorf("cursor %.80q: %w", s, errCursor)
	}
	revision, err := strconv.ParseUint(number, 10, 64)
	if err != nil || number != strconv.FormatUint(revision, 10) {
		return Cursor{}, fmt.Errorf("cursor %.80q: %w", s, errCursor)
	}
	return Cursor{Epoch: epoch, Revision: revision, Sight: sight}, nil
}

// isName tells whether s is 1 to limit lower case letters and digits.
func isName(s string, limit int) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= limit
}
