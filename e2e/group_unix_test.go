//go:build unix

package e2e_test

import (
	"os/exec"
	"syscall"
)

// ownGroup makes cmd the head of a process group, and what cancels it end the
// whole group: git and npm's programs leave children behind otherwise.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
