//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// passed are the signals that exec passes on.
var passed = [...]os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT,
}

// lethal are those of which exec dies where the command did, or where there is
// no command yet. The Go runtime does not die quietly of the others.
var lethal = [...]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL}

// catchSignals has the signals sent to a channel, until stop is called. One that
// is ignored stays so, for the command to inherit that, as with nohup.
func catchSignals() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 16)
	signal.Notify(signals, slices.DeleteFunc(slices.Clone(passed[:]), signal.Ignored)...)
	return signals, func() { signal.Stop(signals) }
}

// foreground reports whether this process group is the one that the keys of its
// terminal send signals to. Where input and output lead does not matter.
func foreground() bool {
	tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // there is no terminal
	}
	defer unix.Close(tty)
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// attend starts cmd, passes signals on, stops when it stops, and returns how it
// ended.
func attend(cmd *exec.Cmd, signals <-chan os.Signal) (how syscall.WaitStatus, err error) {
	for {
		select {
		case s := <-signals:
			if s := s.(syscall.Signal); slices.Contains(lethal[:], s) || s == syscall.SIGQUIT {
				return syscall.WaitStatus(s), nil // how one that died of it ends
			}
			continue
		default:
		}
		break
	}
	if err := start(cmd); err != nil {
		return 0, cannotRun(cmd.Args[0], err)
	}
	defer cmd.Process.Release()
	changes := make(chan change)
	go watch(cmd.Process.Pid, changes)
	return keepUp(cmd.Process, changes, signals)
}

// start starts cmd. A script without an interpreter's name is the shell's, as
// execvp(3) has it.
func start(cmd *exec.Cmd) error {
	err := cmd.Start()
	if !errors.Is(err, syscall.ENOEXEC) {
		return err
	}
	// #nosec G204 -- running what the user asks for is what exec is for
	shell := exec.Command("/bin/sh", append([]string{cmd.Path}, cmd.Args[1:]...)...)
	shell.Env, shell.Stdin, shell.Stdout, shell.Stderr = cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr
	err = shell.Start()
	cmd.Process = shell.Process
	return err
}

// change is a change of a child's state.
type change struct {
	syscall.WaitStatus
	err error
}

// watch sends each change of the child's state. The last one is its end.
func watch(pid int, changes chan<- change) {
	for {
		var c change
		if _, c.err = syscall.Wait4(pid, &c.WaitStatus, syscall.WUNTRACED|syscall.WCONTINUED, nil); errors.Is(c.err, syscall.EINTR) {
			continue
		}
		changes <- c
		if c.err != nil || c.Exited() || c.Signaled() {
			return
		}
	}
}

// settling is how long a command has to be stopped until we stop too. The
// system may have stopped and continued both, and then nothing is left to do.
const settling = 20 * time.Millisecond

// keepUp follows the child until its end. We stop after it, never before: the
// shell waits for us alone, and a command that still ran would share its input.
func keepUp(child *os.Process, changes <-chan change, signals <-chan os.Signal) (syscall.WaitStatus, error) {
	var stopped time.Time
	var settled <-chan time.Time
	told := false // the child was told to stop by us
	for {
		select {
		case c := <-changes:
			switch {
			case c.err != nil:
				return 0, c.err
			case c.Stopped():
				stopped, settled = time.Now(), time.After(settling)
			case c.Continued():
				settled = nil
			default:
				return c.WaitStatus, nil
			}
		case <-settled:
			settled = nil
			if time.Since(stopped) > 5*settling {
				// We were stopped with it. If it goes on as well, we will hear of it.
				stopped, settled = time.Now(), time.After(settling)
			} else if told || foreground() {
				told = false
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			}
		case s := <-signals:
			told = pass(child, s.(syscall.Signal)) && s == syscall.SIGTSTP || told && s != syscall.SIGCONT
		}
	}
}

// shared are the signals that a terminal and its shell send to the group in
// front, so that the child has them already. One that another process sends
// only to us in that situation looks the same.
var shared = [...]syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGCONT}

// pass passes a signal on, and reports whether it did. What the child has
// already could do harm: a late CONT would undo the next stop.
func pass(child *os.Process, s syscall.Signal) bool {
	if slices.Contains(shared[:], s) && foreground() {
		return false
	}
	return child.Signal(s) == nil // it may have ended, or belong to another user
}

// endLike returns the error with the command's status, nil for 0, or dies of
// the signal that ended the command: a shell that runs a script goes by it.
func endLike(how syscall.WaitStatus, uncatch func()) error {
	if !how.Signaled() {
		return exitStatus(how.ExitStatus())
	}
	if s := how.Signal(); slices.Contains(lethal[:], s) && !signal.Ignored(s) {
		uncatch()
		_ = syscall.Kill(os.Getpid(), s)
		<-time.After(time.Second) // it is on its way, unless it is blocked
	}
	return exitStatus(128 + int(how.Signal()))
}
