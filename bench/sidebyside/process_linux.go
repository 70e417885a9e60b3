package main

import (
	"fmt"
	"os/exec"
	"syscall"
)

// ownGroup has the command lead a process group, so that its helpers end with
// it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// end asks the group to end, or sees to it.
func end(cmd *exec.Cmd, atOnce bool) {
	sig := syscall.SIGTERM
	if atOnce {
		sig = syscall.SIGKILL
	}
	// A group that has ended already is none to complain about.
	_ = syscall.Kill(-cmd.Process.Pid, sig)
}

// descriptors raises the limit of open files as far as it goes, for this process
// and those it starts, and returns it.
func descriptors() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raising the limit of open files: %w", err)
	}
	return limit.Cur, nil
}
