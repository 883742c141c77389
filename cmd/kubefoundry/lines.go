package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

// lines prints the table once and then a line for each change: for output that is no terminal.
type lines struct {
	out, errors io.Writer
	state       *streamclient.State
	rows        rows
	// printed are the rows that were printed last, by id; nil before the table was.
	printed map[string]row
}

// linesWidth is how wide the table is where there is no terminal to ask.
const linesWidth = 200

func newLines(out, errors io.Writer, state *streamclient.State) *lines {
	return &lines{out: out, errors: errors, state: state}
}

func (l *lines) event(streamclient.Event) error {
	if !l.state.Complete() {
		return nil
	}
	now := time.Now()
	list := l.rows.of(l.state)
	current := make(map[string]row, len(list))
	for id, cached := range l.rows.cache {
		current[id] = cached.row
	}
	previous := l.printed
	l.printed = current
	if previous == nil {
		for _, text := range table(list, linesWidth, now, false) {
			if _, err := fmt.Fprintln(l.out, text); err != nil {
				return err
			}
		}
		return l.printKinds(now)
	}
	for _, id := range slices.Sorted(maps.Keys(current)) {
		before, known := previous[id]
		switch r := current[id]; {
		case !known:
			if err := l.print(now, "new", r); err != nil {
				return err
			}
		case before != r:
			if err := l.print(now, "changed", r); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(previous)) {
		if _, ok := current[id]; !ok {
			if err := l.print(now, "deleted", previous[id]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lines) print(now time.Time, what string, r row) error {
	text := fmt.Sprintf("%s  %-7s  %s/%s  %s  %s  %s", now.Format(time.TimeOnly), what, r.namespace, r.name, r.runtime, r.phase, r.ready)
	if r.message != "" && what != "deleted" {
		text += "  " + r.message
	}
	_, err := fmt.Fprintln(l.out, text)
	return err
}

// printKinds says what is missing, if something is.
func (l *lines) printKinds(now time.Time) error {
	kind := l.state.Kinds()[string(api.KindDeployments)]
	if kind.Synced && kind.Error == "" {
		return nil
	}
	_, err := fmt.Fprintf(l.out, "%s  deployments may be missing: %s\n", now.Format(time.TimeOnly), plain(kind.Error, maxMessage))
	return err
}

func (l *lines) status(s streamclient.Status) {
	if s.Err != nil {
		fmt.Fprintf(l.errors, "%s  %s\n", time.Now().Format(time.TimeOnly), disconnected(s))
	}
}

func (l *lines) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
