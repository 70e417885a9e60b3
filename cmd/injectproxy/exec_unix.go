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
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT,
}

// lethal are those of which exec dies where the command did, or where there is
// no command yet. The Go runtime does not die quietly of the others.
var lethal = [...]syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL}

// catchSignals has the signals sent to a channel, until stop is called. One that
// is ignored stays so, for the command to inherit that, as with nohup.
func catchSignals() (signals chan os.Signal, stop func()) {
	catch := slices.DeleteFunc(slices.Clone(passed[:]), signal.Ignored)
	if _, ok := foreground(); !ok {
		// Without a terminal nobody but us is told to stop. With one, the system
		// stops us together with the command.
		catch = append(catch, syscall.SIGTSTP)
	}
	signals = make(chan os.Signal, 16)
	signal.Notify(signals, catch...)
	return signals, func() { signal.Stop(signals) }
}

// foreground reports whether this process group is the one that the keys of its
// terminal send signals to; ok is false if it has no terminal. Where input and
// output lead does not matter.
func foreground() (is, ok bool) {
	tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(tty)
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp(), true
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

// settling is how long a command has to be stopped until we stop too. Ctrl-Z
// stops both at once, and then nothing is left to do.
const settling = 50 * time.Millisecond

// keepUp follows the child until its end.
func keepUp(child *os.Process, changes <-chan change, signals <-chan os.Signal) (syscall.WaitStatus, error) {
	var stopped time.Time
	var settled <-chan time.Time
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
			if time.Since(stopped) > 2*settling {
				// We were stopped with it. If it goes on as well, we will hear of it.
				stopped, settled = time.Now(), time.After(settling)
			} else if is, _ := foreground(); is {
				// It has stopped itself, and the shell waits for us to do so.
				_ = syscall.Kill(os.Getpid(), syscall.SIGTSTP)
			}
		case s := <-signals:
			pass(child, s.(syscall.Signal))
		}
	}
}

// pass passes a signal on. Those of the keyboard reach the whole group: the
// child has them already. One that another process sends only to us in that
// situation looks the same.
func pass(child *os.Process, s syscall.Signal) {
	if s == syscall.SIGINT || s == syscall.SIGQUIT {
		if is, _ := foreground(); is {
			return
		}
	}
	_ = child.Signal(s) // it may have ended, or belong to another user
	if s == syscall.SIGTSTP {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
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
