package logs

import (
	"container/heap"
	"time"
)

// From is a line with the number of the log that it comes from.
type From struct {
	Log int
	Line
}

// Merge puts the lines of several logs into the order of their times. Lines of one log stay in the order in which they are, whatever
// their times: one that seems older than the line before it counts as old as that, and so does one without a time.
func Merge(logs [][]Line) []From {
	total := 0
	var heads cursors
	for i, lines := range logs {
		total += len(lines)
		if len(lines) > 0 {
			heads = append(heads, cursor{log: i, rest: lines, at: lines[0].Time})
		}
	}
	heap.Init(&heads)
	merged := make([]From, 0, total)
	for len(heads) > 0 {
		first := &heads[0]
		merged = append(merged, From{first.log, first.rest[0]})
		if first.rest = first.rest[1:]; len(first.rest) == 0 {
			heap.Pop(&heads)
			continue
		}
		if next := first.rest[0].Time; next.After(first.at) {
			first.at = next
		}
		heap.Fix(&heads, 0)
	}
	return merged
}

// cursor is what is left of a log, and as how old its next line counts.
type cursor struct {
	log  int
	rest []Line
	at   time.Time
}

type cursors []cursor

func (c cursors) Len() int { return len(c) }

func (c cursors) Less(i, j int) bool {
	if !c[i].at.Equal(c[j].at) {
		return c[i].at.Before(c[j].at)
	}
	return c[i].log < c[j].log
}

func (c cursors) Swap(i, j int) { c[i], c[j] = c[j], c[i] }

// Push is for heap.Interface.
func (c *cursors) Push(x any) { *c = append(*c, x.(cursor)) }

// Pop is for heap.Interface.
func (c *cursors) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}
