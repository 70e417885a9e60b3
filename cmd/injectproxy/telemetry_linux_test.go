package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
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

// problem returns what d says is wrong with about, having asked by itself and
// through the command's own words.
func (d *daemon) problem(about string) (p statusProblem, text string) {
	d.t.Helper()
	for _, one := range d.reported().Problems {
		if one.About == about {
			p = one
		}
	}
	text, _ = runToEnd(d.t, d.home, nil, "status")
	return p, text
}

// A full disk and a closed /metrics are among the problems, while they last.
func TestFailingTelemetryIsAProblem(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	file, token := filepath.Join(home, "audit.jsonl"), filepath.Join(home, "metrics.token")
	must(t, os.Symlink("/dev/full", file))
	address := net.JoinHostPort(ownAddress(t), freePort(t))
	exchangeConfig(t, o, "", fmt.Sprintf("[access]\nmode = \"credential\"\n[log]\naudit = %q\n[admin]\nlisten = %q\ntoken_file = %q\n", file, address, token)).write(t, home)
	d := startDaemon(t, home, nil)
	credential, err := os.ReadFile(filepath.Join(home, "credential"))
	must(t, err)
	c := d.client("h2", url.UserPassword("injectproxy", strings.TrimSpace(string(credential))))
	for _, about := range []string{"audit", "metrics"} {
		if p, _ := d.problem(about); p.Text != "" {
			t.Errorf("before: %+v", p)
		}
	}
	for range 2 {
		call(t, c, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
		call(t, http.DefaultClient, "GET", "http://"+address+"/metrics", nil).wantStatus(t, 401)
	}
	d.log.wait(t, "audit file cannot be written")
	p, text := d.problem("audit")
	if p.Level != "error" || p.Hint == "" || !strings.Contains(p.Text, "no space left") || !strings.Contains(p.Text, "lost") || !strings.Contains(text, "no space left") {
		t.Errorf("%+v\n%s", p, text)
	}
	if p, text := d.problem("metrics"); p.Level != "warning" || p.Hint == "" || !strings.Contains(p.Text, "metrics.token") || !strings.Contains(text, "/metrics is closed") {
		t.Errorf("%+v\n%s", p, text)
	}
	must(t, os.Remove(file))
	writeTestFile(t, token, "a-long-token")
	d.signal(syscall.SIGHUP)
	d.log.wait(t, "audit file was opened again")
	call(t, c, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
	d.log.wait(t, "audit file is written again")
	for _, about := range []string{"audit", "metrics"} {
		if p, _ := d.problem(about); p.Text != "" {
			t.Errorf("afterwards: %+v", p)
		}
	}
}
