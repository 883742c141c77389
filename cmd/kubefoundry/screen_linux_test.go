package main

import (
	"context"
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t *testing.T, width, height uint16) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	resize(t, terminal, width, height)
	return master, terminal
}

func resize(t *testing.T, terminal *os.File, width, height uint16) {
	t.Helper()
	require.NoError(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}))
}

func TestScreenDrawsInPlaceAndLeavesTheTerminalAsItWas(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("NO_COLOR", "1")
	server, send := streamServer(t, start+inSync)
	master, terminal := openTerminal(t, 120, 10)
	var out buffer
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(&out, master) // ends with EIO when the terminal is closed
	}()

	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error)
	root := newRootCommand([]string{"watch", "--server", server})
	root.SetOut(terminal)
	go func() { ended <- root.ExecuteContext(ctx) }()

	out.waitFor(t, "1 deployment: 1 Pending  live\x1b[K")
	send <- changesFrame("e-2", runsA)
	out.waitFor(t, "1 deployment: 1 Running  live\x1b[K")
	resize(t, terminal, 40, 10)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGWINCH))
	out.waitFor(t, "NAME          PHASE        READY\x1b[K")
	interrupt()
	require.NoError(t, <-ended)
	require.NoError(t, terminal.Close())
	<-copied
	require.NoError(t, master.Close())

	text := out.String()
	assert.Regexp(t, "^\x1b\\[\\?1049h\x1b\\[\\?25l", text)
	assert.Regexp(t, "\x1b\\[\\?25h\x1b\\[\\?1049l$", text)
	assert.NotContains(t, text, "\x1b[31m", "neither ours nor the message's")
}
