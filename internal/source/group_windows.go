package source

import (
	"os/exec"

	"golang.org/x/sys/windows"
)

// group is the job object of a command. Killing the command alone would leave
// running what a wrapper script (az.cmd is one) started.
type group struct {
	cmd *exec.Cmd
	job windows.Handle
}

func newGroup(cmd *exec.Cmd) (*group, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	// A command that succeeded may leave a process behind, so the job does
	// not die with its handle.
	return &group{cmd, job}, nil
}

// started puts the command into the job. What it starts before that escapes;
// os/exec offers no way to start it there.
func (g *group) started() {
	const access = windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE
	p, err := windows.OpenProcess(access, false, uint32(g.cmd.Process.Pid))
	if err != nil {
		return // it has ended
	}
	defer windows.CloseHandle(p)
	_ = windows.AssignProcessToJobObject(g.job, p) // fails only if it has ended
}

// kill ends them all; that they have ended already is no failure.
func (g *group) kill() {
	_ = windows.TerminateJobObject(g.job, 1)
	_ = g.cmd.Process.Kill()
}

func (g *group) close() { windows.CloseHandle(g.job) }
