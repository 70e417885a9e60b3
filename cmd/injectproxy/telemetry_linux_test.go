package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// muteFile is a terminal that nobody reads: once it is full, no write into it
// ends, as with a file server that has gone.
func muteFile(t testing.TB) (name string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	return fmt.Sprintf("/dev/pts/%d", n)
}

// muteCollector takes connections in and never says a word.
func muteCollector(t testing.TB) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var taking sync.WaitGroup
	taking.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); taking.Wait() })
	return "http://" + l.Addr().String()
}

// An audit file whose disk hangs holds up neither requests nor a change of the
// configuration nor the end.
func TestAuditFileThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]bool{"ended by one signal": false, "ended by two": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, "h2", nil, "api.example.test")
			home := t.TempDir()
			exchangeConfig(t, o, fmt.Sprintf("drain = %q", map[bool]string{false: "1ms", true: "1h"}[second]), fmt.Sprintf("[log]\naudit = %q\n", muteFile(t))).write(t, home)
			d := startDaemon(t, home, nil)
			c := d.client("h2", nil)
			var load sync.WaitGroup
			for range 4 {
				load.Go(func() {
					for range 100 {
						r, err := trySend(c, httptestRequest(t, "https://api.example.test/v1/"+strings.Repeat("x", 2000)))
						if err != nil || r.status != 200 {
							t.Errorf("%d %v", r.status, err)
							return
						}
					}
				})
			}
			load.Wait()
			d.signal(syscall.SIGHUP)
			d.log.wait(t, "configuration reloaded")
			if second {
				d.insist()
			} else {
				d.signal(os.Interrupt)
			}
			if status := d.stopped(); second != (status == exitFailed) || !strings.Contains(d.log.String(), "did not take its last lines") {
				t.Errorf("exit status %d:\n%.2000s", status, d.log)
			}
		})
	}
}

// A collector that says nothing holds up the end for its time, and not at all
// where a second signal comes.
func TestMuteCollectorDoesNotHoldUpASecondSignal(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]bool{"one signal": false, "two": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, "h2", nil, "api.example.test")
			home := t.TempDir()
			exchangeConfig(t, o, fmt.Sprintf("drain = %q", map[bool]string{false: "1ms", true: "1h"}[second]), "").write(t, home)
			d := startDaemon(t, home, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + muteCollector(t)})
			call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
			if second {
				d.insist()
			} else {
				d.signal(syscall.SIGTERM)
			}
			status, told := d.stopped(), strings.Contains(d.log.String(), "traces were not sent")
			if second != (status == exitFailed) || told == second {
				t.Errorf("exit status %d:\n%s", status, d.log)
			}
		})
	}
}
