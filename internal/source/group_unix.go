//go:build unix

package source

import (
	"os/exec"
	"syscall"
)

// group is the process group of a command. Killing the command alone would
// leave running what a wrapper script started.
type group struct{ cmd *exec.Cmd }

func newGroup(cmd *exec.Cmd) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &group{cmd}, nil
}

// started does nothing: the kernel made the group together with the process.
func (g *group) started() {}

// kill ends them all; that they have ended already is no failure.
func (g *group) kill() { _ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL) }

func (g *group) close() {}
