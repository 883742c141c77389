package logs

import "slices"

// tail keeps the last bytes that are written to it. It grows up to its limit, and is a ring from then on.
type tail struct {
	limit int
	kept  []byte
	start int  // of the oldest byte, once the ring is full
	cut   bool // something is not kept any more
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if over := n - t.limit; over > 0 {
		p, t.cut = p[over:], true
	}
	room := min(t.limit-len(t.kept), len(p))
	t.kept = append(t.kept, p[:room]...)
	if p = p[room:]; len(p) > 0 {
		t.cut = true
		copied := copy(t.kept[t.start:], p)
		copy(t.kept, p[copied:])
		t.start = (t.start + len(p)) % t.limit
	}
	return n, nil
}

// bytes are those that are kept, oldest first.
func (t *tail) bytes() []byte {
	if t.start == 0 {
		return t.kept
	}
	return slices.Concat(t.kept[t.start:], t.kept[:t.start])
}
