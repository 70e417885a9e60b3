package signin

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudoTerminal returns both ends of a terminal: what a program writes to
// slave, a reader of master sees.
func pseudoTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx") // non-blocking, so that it has deadlines
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestNotificationIsWrittenToTheTerminal(t *testing.T) {
	master, slave := pseudoTerminal(t)
	for term, shown := range map[string]bool{"xterm-256color": true, "screen": true, "dumb": false, "linux": false, "": false} {
		t.Setenv("TERM", term)
		if show := Terminal(slave); (show != nil) != shown {
			t.Errorf("TERM=%s: shown %v, want %v", term, show != nil, shown)
		}
	}
	t.Setenv("TERM", "xterm")
	Terminal(slave)("Sign-in needed", "gateway needs a sign-in:\naz login\x1b[2J")
	if err := master.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got, err := bufio.NewReader(master).ReadString('\a')
	if want := "\x1b]9;injectproxy: Sign-in needed: gateway needs a sign-in: az login [2J\a"; got != want {
		t.Errorf("the terminal got %q (%v), want %q", got, err, want)
	}
}
