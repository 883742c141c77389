package main

// dechunker takes HTTP/1.1 chunks apart, wherever a read has cut them.
type dechunker struct {
	left int // of the chunk being read
	size int // being read
	skip int // of the line end after a chunk
}

// data returns what is inside the chunks. It overwrites its argument.
func (d *dechunker) data(raw []byte) []byte {
	out := raw[:0]
	for len(raw) > 0 {
		switch {
		case d.left > 0:
			n := min(d.left, len(raw))
			out = append(out, raw[:n]...)
			raw = raw[n:]
			if d.left -= n; d.left == 0 {
				d.skip = 2
			}
		case d.skip > 0:
			raw = raw[1:]
			d.skip--
		default:
			c := raw[0]
			raw = raw[1:]
			switch {
			case c == '\n':
				d.left, d.size = d.size, 0
			case c >= '0' && c <= '9':
				d.size = d.size<<4 | int(c-'0')
			case c >= 'a' && c <= 'f':
				d.size = d.size<<4 | int(c-'a'+10)
			}
		}
	}
	return out
}
