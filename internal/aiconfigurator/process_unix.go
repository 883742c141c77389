//go:build unix

package aiconfigurator

import (
	"os/exec"
	"syscall"
)

// ownGroup lets the command end with everything that it started.
func ownGroup(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
}
