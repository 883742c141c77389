package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/kubefoundry/kubefoundry/api"
	"github.com/kubefoundry/kubefoundry/internal/streamclient"
)

const (
	// redraw is the least time between two frames: more than ten a second nobody reads, and ssh has to carry them.
	redraw = 100 * time.Millisecond
	// tick is how often the ages are brought up to date where nothing else happens.
	tick = time.Second
)

// screen draws the table in place, in the terminal's second buffer, and leaves the first one as it was.
type screen struct {
	terminal *os.File
	state    *streamclient.State
	server   string
	colour   bool
	rows     rows
	last     string
	// changed asks for a frame. It has room for one, since one frame shows any number of changes.
	changed chan struct{}

	mu         sync.Mutex
	connection streamclient.Status // guarded by mu
	since      time.Time           // when connection came about; guarded by mu
}

func newScreen(terminal *os.File, state *streamclient.State, server string) *screen {
	return &screen{
		terminal: terminal, state: state, server: plain(server, maxName),
		colour:  os.Getenv("NO_COLOR") == "",
		changed: make(chan struct{}, 1),
	}
}

func (s *screen) event(streamclient.Event) error {
	s.wake()
	return nil
}

func (s *screen) status(status streamclient.Status) {
	s.mu.Lock()
	// While it connects again, the reason why it has to says more.
	if status.Live || status.Err != nil || s.connection.Err == nil {
		s.connection, s.since = status, time.Now()
	}
	s.mu.Unlock()
	s.wake()
}

func (s *screen) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// What a terminal is asked to do: the second buffer, no cursor, no line wrap; and back.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func (s *screen) run(ctx context.Context) (err error) {
	if _, err := s.terminal.WriteString(enter); err != nil {
		return err
	}
	defer func() {
		if _, restored := s.terminal.WriteString(leave); err == nil {
			err = restored
		}
	}()
	resized, stop := notifyResize()
	defer stop()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if err := s.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(redraw):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		case <-ticker.C:
		case <-resized:
			s.last = ""
		}
	}
}

func (s *screen) draw() error {
	width, height, err := term.GetSize(int(s.terminal.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	frame := strings.Join(s.frame(width, height, time.Now()), "\x1b[K\r\n")
	if frame == s.last {
		return nil
	}
	s.last = frame
	// Terminals that know 2026 show the frame when it is whole; the others pass over it.
	_, err = s.terminal.WriteString("\x1b[?2026h\x1b[H" + frame + "\x1b[K\x1b[J\x1b[?2026l")
	return err
}

// frame returns at most height lines of at most width columns.
func (s *screen) frame(width, height int, now time.Time) []string {
	s.mu.Lock()
	connection, since := s.connection, s.since
	s.mu.Unlock()
	list := s.rows.of(s.state)
	frame := []string{s.title(connection, since, list, width, now)}
	if kind, ok := s.state.Kinds()[string(api.KindDeployments)]; ok && (!kind.Synced || kind.Error != "") {
		frame = append(frame, s.ink("\x1b[33m", fit("deployments may be missing: "+plain(kind.Error, maxMessage), width)))
	}
	frame = append(frame, "")
	shown := list
	// The head and, where not all fit, the last line take two.
	if room := height - len(frame) - 2; room > 0 && len(list) > room+1 {
		shown = byUrgency(list)[:room]
	}
	body := table(shown, width, now, s.colour)
	body[0] = s.ink("\x1b[1m", body[0])
	switch {
	case len(shown) < len(list):
		body = append(body, fit(fmt.Sprintf("… and %d more", len(list)-len(shown)), width))
	case len(list) == 0 && s.state.Complete():
		body = append(body, fit("no deployments", width))
	}
	frame = append(frame, body...)
	return frame[:min(len(frame), height)]
}

// title says where the rows are from and whether they still hold.
func (s *screen) title(connection streamclient.Status, since time.Time, list []row, width int, now time.Time) string {
	var state, ink string
	switch {
	case connection.Live && s.state.Complete():
		state, ink = "live", "\x1b[32m"
	case connection.Live:
		state, ink = "loading", "\x1b[36m"
	case connection.Err == nil:
		state, ink = "connecting", "\x1b[36m"
	default:
		ink = "\x1b[33m"
		state = "reconnecting: " + plain(connection.Err.Error(), maxMessage)
		if wait := connection.Retry - now.Sub(since); wait > 0 {
			state = fmt.Sprintf("reconnecting in %.0f s: %s", max(wait.Seconds(), 1), plain(connection.Err.Error(), maxMessage))
		}
		if proven := s.state.Proven(); !proven.IsZero() {
			state = "stale since " + proven.Local().Format(time.TimeOnly) + ", " + state
		}
	}
	head := "KubeFoundry  " + s.server + "  "
	if s.state.Complete() || len(list) > 0 {
		head += phases(list) + "  "
	}
	// The state of the connection is what must be seen, however narrow the terminal is.
	state = fit(state, width)
	return fit(head, width-columns(state)) + s.ink(ink, state)
}

func (s *screen) ink(ink, text string) string {
	if !s.colour {
		return text
	}
	return ink + text + inkOff
}
