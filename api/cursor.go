package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a place in the history of the documents: everything up to Revision of Epoch has been seen. An epoch lasts as
// long as the bucket that counts the revisions. On the wire it is `<epoch>-<revision>`; the zero Cursor is "nothing seen".
type Cursor struct {
	Epoch    string
	Revision uint64
}

func (c Cursor) String() string { return string(c.Append(nil)) }

// Append appends the wire form to b.
func (c Cursor) Append(b []byte) []byte {
	return strconv.AppendUint(append(append(b, c.Epoch...), '-'), c.Revision, 10)
}

var errCursor = errors.New("want <epoch>-<revision>, as a list or a stream gave it")

// maxEpochLength bounds what a caller can make the server compare.
const maxEpochLength = 40

// ParseCursor reads the wire form. It says nothing of whether the cursor can still be served: see view.Changes.
func ParseCursor(s string) (Cursor, error) {
	epoch, number, ok := strings.Cut(s, "-")
	if !ok || epoch == "" || len(epoch) > maxEpochLength {
		return Cursor{}, fmt.Errorf("cursor %.64q: %w", s, errCursor)
	}
	for i := range len(epoch) {
		if c := epoch[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return Cursor{}, fmt.Errorf("cursor %.64q: %w", s, errCursor)
		}
	}
	revision, err := strconv.ParseUint(number, 10, 64)
	if err != nil || number != strconv.FormatUint(revision, 10) {
		return Cursor{}, fmt.Errorf("cursor %.64q: %w", s, errCursor)
	}
	return Cursor{Epoch: epoch, Revision: revision}, nil
}
