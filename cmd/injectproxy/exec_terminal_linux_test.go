package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a terminal whose user is the test.
type terminal struct {
	t      testing.TB
	master *os.File
	screen eventLog // all that was ever shown
	done   chan struct{}
}

// onTerminal starts e with a terminal of its own, as the leader of its session.
func onTerminal(t testing.TB, e *execution) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	must(t, err)
	term := &terminal{t: t, master: os.NewFile(uintptr(fd), "/dev/ptmx"), done: make(chan struct{})}
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	e.cmd.Stdin, e.cmd.Stdout, e.cmd.Stderr = slave, slave, slave
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, e.cmd.Start())
	slave.Close()
	go func() {
		defer close(term.done)
		for b := make([]byte, 4096); ; {
			n, err := term.master.Read(b) // EIO once nobody has the other end
			term.screen.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		e.cmd.Process.Kill() // it has ended, unless the test has failed
		term.master.Close()
		<-term.done
	})
	return term
}

func (term *terminal) keys(s string) {
	term.t.Helper()
	_, err := term.master.WriteString(s)
	must(term.t, err)
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
	quit  = "\x1c"
)

// TestKeysReachAnInteractiveCommandOnce: the terminal sends the signal to all
// of the group, so exec must not send it again. The command tells of it twice
// if it does.
func TestKeysReachAnInteractiveCommandOnce(t *testing.T) {
	t.Parallel()
	e := newExecution(t, listener(t)...)
	term := onTerminal(t, e)
	term.screen.wait(t, "ready:")
	for i, key := range []struct{ key, heard string }{{ctrlC, "got:INT:"}, {quit, "got:QUIT:"}, {ctrlC, "got:INT:"}} {
		before := strings.Count(term.screen.String(), key.heard)
		term.keys(key.key)
		// A key that sends a signal also drops what the screen does not show yet.
		term.screen.until(t, func(text string) bool { return strings.Count(text, key.heard) > before }, key.heard, nil)
		// A signal that follows is heard after one that was sent twice.
		must(t, e.cmd.Process.Signal(syscall.SIGUSR1))
		term.screen.until(t, func(text string) bool { return strings.Count(text, "got:USR1:") == i+1 }, "USR1", nil)
	}
	must(t, e.cmd.Process.Signal(syscall.SIGTERM))
	how := e.wait(t)
	<-term.done
	if shown := term.screen.String(); how.ExitStatus() != 9 || strings.Count(shown, "got:INT:") != 2 || strings.Count(shown, "got:QUIT:") != 1 {
		t.Errorf("ended with %#x:\n%s", how, shown)
	}
}

func TestCtrlCEndsBothWhereTheCommandLetsIt(t *testing.T) {
	t.Parallel()
	e := newExecution(t, execRule, "--", "sh", "-c", "echo ready:; exec sleep 120")
	term := onTerminal(t, e)
	term.screen.wait(t, "ready:")
	term.keys(ctrlC)
	if how := e.wait(t); !how.Signaled() || how.Signal() != syscall.SIGINT {
		t.Errorf("ended with %#x:\n%s", how, term.screen.String())
	}
}

// inShell starts an interactive shell on a terminal, for its job control.
func inShell(t testing.TB) (*execution, *terminal) {
	t.Helper()
	e := newExecution(t)
	e.cmd.Path, e.cmd.Args = "/bin/bash", []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}
	e.cmd.Env = append(e.cmd.Env, "PATH="+binDir(t)+":"+os.Getenv("PATH"), "PS1=shell> ", "HISTFILE=", "TERM=dumb")
	term := onTerminal(t, e)
	term.screen.until(t, func(text string) bool { return strings.Contains(text, "shell> ") }, "a prompt", nil)
	return e, term
}

// stateOf returns a process's state, as in proc_pid_stat(5).
func stateOf(t testing.TB, pid string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	must(t, err)
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

// shown waits for a number behind word at the beginning of a line.
func (term *terminal) shown(word string) (number string) {
	term.t.Helper()
	wanted := regexp.MustCompile(`(?m)^` + word + `(\d+)\r?$`)
	term.screen.until(term.t, func(text string) bool {
		m := wanted.FindStringSubmatch(text)
		if m != nil {
			number = m[1]
		}
		return m != nil
	}, word, nil)
	return number
}

func TestCtrlZStopsBothAndFgContinuesBoth(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]string{
		"by the key":                    `while read line; do echo "read:$line:"; done`,
		"the command stops itself":      `kill -STOP $$; while read line; do echo "read:$line:"; done`,
		"the command stops its group":   `kill -TSTP 0; while read line; do echo "read:$line:"; done`,
		"the command raises the signal": `kill -TSTP $$; while read line; do echo "read:$line:"; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, term := inShell(t)
			term.keys(`injectproxy exec ` + execRule + ` -- sh -c 'echo "exec=$PPID"; echo "child=$$"; ` + stop + "'\n")
			parent, child := term.shown("exec="), term.shown("child=")
			for i := range 3 {
				if i > 0 || name == "by the key" {
					term.keys(ctrlZ)
				}
				term.screen.until(t, func(text string) bool { return strings.Count(text, "Stopped") == i+1 }, "Stopped", nil)
				if p, c := stateOf(t, parent), stateOf(t, child); p != "T" || c != "T" {
					t.Errorf("stopped: exec is in state %s, its command in %s", p, c)
				}
				term.keys("fg\n")
				term.keys(fmt.Sprintf("line %d\n", i))
				term.screen.wait(t, fmt.Sprintf("read:line %d:", i))
			}
			term.keys("\x04") // the end of its input
			term.keys("echo status=$?.\nexit\n")
			term.screen.wait(t, "status=0.")
			if how := e.wait(t); how.ExitStatus() != 0 {
				t.Errorf("the shell ended with %#x:\n%s", how, term.screen.String())
			}
		})
	}
}

// Without a terminal nobody tells the command to stop but exec. It goes on
// itself where the command does not obey.
func TestStopIsPassedOnWithoutATerminal(t *testing.T) {
	t.Parallel()
	e := newExecution(t, listener(t)...)
	must(t, e.cmd.Start())
	e.stdout.wait(t, "ready:")
	must(t, e.cmd.Process.Signal(syscall.SIGTSTP))
	e.stdout.wait(t, "got:TSTP:")
	must(t, e.cmd.Process.Signal(syscall.SIGUSR1))
	e.stdout.wait(t, "got:USR1:")
	must(t, e.cmd.Process.Signal(syscall.SIGTERM))
	if how := e.wait(t); how.ExitStatus() != 9 {
		t.Errorf("ended with %#x", how)
	}
}

// A command that does not stop keeps its proxy: exec does not stop either.
func TestCtrlZStopsNothingThatTheCommandDoesNot(t *testing.T) {
	t.Parallel()
	e := newExecution(t, listener(t)...)
	term := onTerminal(t, e)
	term.screen.wait(t, "ready:")
	term.keys(ctrlZ)
	term.screen.wait(t, "got:TSTP:")
	must(t, e.cmd.Process.Signal(syscall.SIGUSR1))
	term.screen.wait(t, "got:USR1:")
	must(t, e.cmd.Process.Signal(syscall.SIGTERM))
	how := e.wait(t)
	<-term.done
	if shown := term.screen.String(); how.ExitStatus() != 9 || strings.Count(shown, "got:TSTP:") != 1 {
		t.Errorf("ended with %#x:\n%s", how, shown)
	}
}

// TestExecLeavesNothingBehind however it ends: no file (which wait holds), no
// port, no process.
func TestExecLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(e *execution, child int)
	}{
		{"the command ends", func(e *execution, child int) { syscall.Kill(child, syscall.SIGUSR1) }},
		{"the command is killed", func(e *execution, child int) { syscall.Kill(child, syscall.SIGKILL) }},
		{"exec is told to end", func(e *execution, child int) { e.cmd.Process.Signal(syscall.SIGTERM) }},
		{"exec is hung up", func(e *execution, child int) { e.cmd.Process.Signal(syscall.SIGHUP) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newExecution(t, execRule, "--", "sh", "-c", `echo pid=$$.; env; echo end:; exec sleep 120`)
			must(t, e.cmd.Start())
			e.stdout.wait(t, "end:")
			set := variables(e.stdout.String())
			var child int
			fmt.Sscanf(set["pid"], "%d.", &child)
			proxy, err := url.Parse(set["HTTPS_PROXY"])
			must(t, err)
			if _, err := os.Stat(set["SSL_CERT_FILE"]); err != nil || !strings.HasPrefix(set["SSL_CERT_FILE"], e.temp+"/") {
				t.Errorf("the bundle is %s (%v), want it in %s", set["SSL_CERT_FILE"], err, e.temp)
			}
			if r := atDoor(t, proxy.Host, connectTo("api.example.test:443")); r.status != 407 {
				t.Errorf("without the credential, the proxy answers %d", r.status)
			}
			seen := 2
			if os.Getuid() != 0 {
				seen = 1 // exec itself is sealed
			}
			if len(processesWith(t, e.temp)) != seen {
				t.Errorf("processes before the end: %v", processesWith(t, e.temp))
			}
			tt.end(e, child)
			e.wait(t)
			if c, err := net.DialTimeout("tcp", proxy.Host, time.Minute); err == nil {
				c.Close()
				t.Errorf("%s is still open", proxy.Host)
			}
			if left := processesWith(t, e.temp); len(left) > 0 {
				t.Errorf("processes are left: %v", left)
			}
		})
	}
}

// processesWith returns the commands of the processes that have text in their
// environment.
func processesWith(t testing.TB, text string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), text) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
