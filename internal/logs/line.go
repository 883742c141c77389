package logs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// MaxLine is how many bytes of a line are kept, of those that are read line by line.
const MaxLine = 16 << 10

// Line is one line of a log that was asked for with times.
type Line struct {
	// Time is the zero time where the line has none.
	Time time.Time
	// Text is without its time, its end and its colours.
	Text string
	// Cut says that the line goes on.
	Cut bool
}

// size is about how many bytes a line takes, on its way as in memory.
func (l Line) size() int { return len(l.Text) + 64 }

// parse takes the time off a line.
func parse(text string) Line {
	if at, rest, ok := strings.Cut(text, " "); ok || at != "" {
		if t, err := time.Parse(time.RFC3339Nano, at); err == nil {
			return Line{Time: t, Text: rest}
		}
	}
	return Line{Text: text}
}

// Lines are those of a log that Read returned with times.
func Lines(log string) []Line {
	if log == "" {
		return nil
	}
	texts := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	lines := make([]Line, len(texts))
	for i, text := range texts {
		lines[i] = parse(strings.TrimSuffix(text, "\r"))
	}
	return lines
}

// batchBytes is about how much is given to take at once.
const batchBytes = 32 << 10

// scan reads lines until the log ends. take gets those that are there together, and as long as it does not return nothing more
// is read than the buffer holds.
func scan(from io.Reader, take func([]Line) error) error {
	r := bufio.NewReaderSize(from, batchBytes)
	var batch []Line
	size := 0
	for {
		line, err := next(r)
		if err == nil || line.Text != "" || !line.Time.IsZero() {
			batch = append(batch, line)
			size += line.size()
		}
		if len(batch) > 0 && (err != nil || size >= batchBytes || r.Buffered() == 0) {
			if err := take(batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("log: %w", err)
		}
	}
}

// next reads one line, keeps its beginning, and passes over the rest.
func next(r *bufio.Reader) (Line, error) {
	var kept []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		room := MaxLine - len(kept)
		kept = append(kept, part[:min(len(part), room)]...)
		long = long || len(part) > room
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line := parse(readable([]byte(strings.TrimRight(string(kept), "\r\n")), false, 3*MaxLine))
		line.Cut = long
		return line, err
	}
}
