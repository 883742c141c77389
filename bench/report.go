package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints a table, row by row: a benchmark takes minutes, and its first figures should not wait for its last.
type report struct {
	out  io.Writer
	wide []int
}

// row is one line. Texts that are empty stay empty.
type row struct {
	what, measured, baseline, ratio, aim string
	// met is nil where there is no aim.
	met *bool
}

func newReport(out io.Writer, title string) *report {
	r := &report{out: out, wide: []int{50, 26, 26, 10, 0}}
	fmt.Fprintf(out, "\n%s\n%s\n", title, strings.Repeat("=", len(title)))
	r.line("", "KubeFoundry", "baseline", "ratio", "aim")
	return r
}

func (r *report) line(cells ...string) {
	var b strings.Builder
	for i, cell := range cells {
		fmt.Fprintf(&b, "%-*s ", r.wide[i], cell)
	}
	fmt.Fprintln(r.out, strings.TrimRight(b.String(), " "))
}

func (r *report) row(w row) {
	aim := w.aim
	if w.met != nil {
		aim += map[bool]string{true: ": met", false: ": MISSED"}[*w.met]
	}
	r.line(w.what, w.measured, w.baseline, w.ratio, aim)
}

// note is a line of prose.
func (r *report) note(format string, args ...any) { fmt.Fprintf(r.out, "  "+format+"\n", args...) }

// progress is for who waits.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05")+" "+format+"\n", args...)
}

// table prints rows of equal standing.
func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }

func times(ratio float64) string { return fmt.Sprintf("%.2fx", ratio) }
