package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns one: what is written to near arrives at far.
func openTerminal(t *testing.T) (far, near *os.File) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		absent(t, "there are no terminals: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	raw, err := far.SyscallConn()
	must(t, err)
	number := 0
	must(t, raw.Control(func(fd uintptr) {
		err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		if err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	must(t, err)
	near, err = os.OpenFile(filepath.Join("/dev/pts", strconv.Itoa(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	return far, near
}

// onPty runs a command with a terminal for its standard output and error, and
// returns what it writes there.
func onPty(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	far, near := openTerminal(t)
	cmd.Stdout, cmd.Stderr = near, near
	err := cmd.Start()
	near.Close()
	must(t, err)
	out, err := io.ReadAll(far)
	if err != nil && !errors.Is(err, syscall.EIO) { // which is its end
		t.Error(err)
	}
	cmd.Wait()
	return string(out)
}

func TestDoctorShowsProgressAndColoursOnATerminalAlone(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	for _, tt := range []struct {
		variable         string
		progress, colour bool
	}{
		{"TERM=xterm", true, true},
		{"NO_COLOR=1", true, false},
		{"TERM=dumb", false, false},
	} {
		exe, err := os.Executable()
		must(t, err)
		cmd := exec.CommandContext(t.Context(), exe, "doctor")
		cmd.Args[0], cmd.Env = "injectproxy", append(p.environ(), "TERM=xterm", tt.variable)
		out := onPty(t, cmd)
		if got := strings.Contains(out, " checks done"); got != tt.progress {
			t.Errorf("%s: progress %v:\n%q", tt.variable, got, out)
		}
		if got := strings.Contains(out, "\x1b[32mok"); got != tt.colour || !strings.Contains(out, "0 failed") {
			t.Errorf("%s: colour %v:\n%q", tt.variable, got, out)
		}
		if i := strings.LastIndex(out, "checks done"); i >= 0 && !strings.HasPrefix(out[i+len("checks done"):], "\r\x1b[K") {
			t.Errorf("%s: the progress stays: %q", tt.variable, out)
		}
	}
}
