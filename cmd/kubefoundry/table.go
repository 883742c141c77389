package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
)

// column is one of the table's columns. Where the terminal is narrow, the widest shrinks first, down to least; then
// columns go, those with the lowest rank first.
type column struct {
	title string
	least int
	rank  int
	right bool
}

var tableColumns = []column{
	{title: "NAME", least: 12, rank: 9},
	{title: "NAMESPACE", least: 9, rank: 6},
	{title: "RUNTIME", least: 7, rank: 4},
	{title: "MODEL", least: 12, rank: 3},
	{title: "PHASE", least: 11, rank: 8},
	{title: "READY", least: 5, rank: 7, right: true},
	{title: "GPUS", least: 4, rank: 5, right: true},
	{title: "AGE", least: 4, rank: 2, right: true},
	{title: "MESSAGE", least: 10, rank: 1},
}

const (
	gap         = 2
	phaseColumn = 4
)

// table lays rows out for a width. The first line is the head.
func table(list []row, width int, now time.Time, colour bool) []string {
	cells := make([][]string, len(list))
	widths := make([]int, len(tableColumns))
	for i, c := range tableColumns {
		widths[i] = max(len(c.title), c.least)
	}
	for i, r := range list {
		cells[i] = r.cells(now)
		for j, text := range cells[i] {
			widths[j] = max(widths[j], columns(text))
		}
	}
	shrink(widths, width)
	lines := make([]string, 0, len(list)+1)
	head := make([]string, len(tableColumns))
	for i, c := range tableColumns {
		head[i] = c.title
	}
	lines = append(lines, line(head, widths, width, ""))
	for i, r := range list {
		ink := ""
		if colour {
			ink = phaseInk[r.phase]
		}
		lines = append(lines, line(cells[i], widths, width, ink))
	}
	return lines
}

// shrink makes the columns fit. A width of 0 means that a column is not shown.
func shrink(widths []int, total int) {
	drop(widths, total)
	for excess := sum(widths) - total; excess > 0; excess = sum(widths) - total {
		widest := 0
		for i := range widths {
			if widths[i] > 0 && (widths[widest] == 0 || spare(widths, i) > spare(widths, widest)) {
				widest = i
			}
		}
		if spare(widths, widest) <= 0 { // one column, and the terminal is narrower than its least
			widths[widest] = max(total, 0)
			return
		}
		// In turns, so that two wide columns stay alike.
		widths[widest] -= min(spare(widths, widest)/4+1, excess)
	}
}

// drop takes out the columns for which there is no room even at their least width.
func drop(widths []int, total int) {
	least := make([]int, len(widths))
	for i := range widths {
		least[i] = tableColumns[i].least
	}
	for shown := len(widths); shown > 1 && sum(least) > total; shown-- {
		lowest := -1
		for i := range least {
			if least[i] > 0 && (lowest < 0 || tableColumns[i].rank < tableColumns[lowest].rank) {
				lowest = i
			}
		}
		least[lowest], widths[lowest] = 0, 0
	}
}

// spare is what a column may still give up; below 0 where it is not shown.
func spare(widths []int, i int) int { return widths[i] - tableColumns[i].least }

// sum is what the columns take with the gaps between them.
func sum(widths []int) int {
	total := -gap
	for _, w := range widths {
		if w > 0 {
			total += w + gap
		}
	}
	return max(total, 0)
}

func line(cells []string, widths []int, total int, ink string) string {
	var b strings.Builder
	used := 0
	for i, text := range cells {
		if widths[i] == 0 {
			continue
		}
		if used > 0 {
			b.WriteString(strings.Repeat(" ", gap))
			used += gap
		}
		text = fit(text, widths[i])
		if tableColumns[i].right {
			text = strings.Repeat(" ", max(widths[i]-columns(text), 0)) + text
		} else if used+widths[i] < total {
			text = pad(text, widths[i])
		}
		used += widths[i]
		if i == phaseColumn && ink != "" {
			text = ink + text + inkOff
		}
		b.WriteString(text)
	}
	return strings.TrimRight(b.String(), " ")
}

const inkOff = "\x1b[0m"

var phaseInk = map[api.Phase]string{
	api.PhaseRunning:     "\x1b[32m",
	api.PhasePending:     "\x1b[33m",
	api.PhaseDeploying:   "\x1b[36m",
	api.PhaseFailed:      "\x1b[31m",
	api.PhaseTerminating: "\x1b[2m",
}

// urgency orders the phases by how much somebody should look at them.
var urgency = map[api.Phase]int{
	api.PhaseFailed: 0, api.PhasePending: 1, api.PhaseDeploying: 2, api.PhaseTerminating: 3, api.PhaseRunning: 4,
}

// byUrgency brings what does not run to the front, for a terminal that has no room for all.
func byUrgency(list []row) []row {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b row) int { return cmp.Compare(urgency[a.phase], urgency[b.phase]) })
	return list
}

// phases sums the rows up: `3 deployments: 1 Running, 2 Failed`.
func phases(list []row) string {
	noun := "deployments"
	if len(list) == 1 {
		noun = "deployment"
	}
	var parts []string
	for _, phase := range []api.Phase{api.PhaseRunning, api.PhaseDeploying, api.PhasePending, api.PhaseFailed, api.PhaseTerminating} {
		n := 0
		for _, r := range list {
			if r.phase == phase {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, phase))
		}
	}
	text := fmt.Sprintf("%d %s", len(list), noun)
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	return text
}
