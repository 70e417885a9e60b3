package main

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// notifySocket is where systemd hears from a service.
func notifySocket(t testing.TB) (name string, next func() []string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return name, func() []string {
		t.Helper()
		b := make([]byte, 4096)
		conn.SetReadDeadline(time.Now().Add(guard))
		n, err := conn.Read(b)
		must(t, err)
		return strings.Split(string(b[:n]), "\n")
	}
}

func TestSystemdHearsThatServeIsReadyAndThatItStops(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home, address := t.TempDir(), "127.0.0.1:"+freePort(t)
	exchangeConfig(t, o, fmt.Sprintf("listen = %q\ndrain = \"1h\"\n", address), "").write(t, home)
	name, next := notifySocket(t)
	d := spawn(t, home, command(t, t.Context(), home, []string{"NOTIFY_SOCKET=" + name}, "serve"))
	if told := next(); !slices.Equal(told, []string{"READY=1", "STATUS=listening on " + address}) {
		t.Errorf("systemd is told %q", told)
	}
	d.addr = address // nobody waited for the log: ready is ready
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	d.signal(syscall.SIGTERM)
	if told := next(); told[0] != "STOPPING=1" || !slices.Contains(told, "EXTEND_TIMEOUT_USEC=3610000000") {
		t.Errorf("systemd is told %q", told)
	}
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
}

// The configuration that is in use serves on, so that systemd is told so even
// where the files are broken.
func TestSystemdHearsOfAReload(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	file := settings{tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles}.write(t, home)
	name, next := notifySocket(t)
	d := spawn(t, home, command(t, t.Context(), home, []string{"NOTIFY_SOCKET=" + name}, "serve"))
	ready := next()
	for _, config := range []string{"", "broken"} {
		if config != "" {
			writeTestFile(t, file, config)
		} else {
			d.signal(syscall.SIGHUP)
		}
		told := next()
		at, ok := strings.CutPrefix(told[len(told)-1], "MONOTONIC_USEC=")
		if usec, err := strconv.ParseInt(at, 10, 64); !ok || err != nil || usec <= 0 || told[0] != "RELOADING=1" {
			t.Errorf("systemd is told %q", told)
		}
		if told := next(); !slices.Equal(told, ready) {
			t.Errorf("systemd is told %q, not %q", told, ready)
		}
	}
}

func TestServeStartsWhereSystemdDoesNotListen(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles}.write(t, home)
	d := startDaemon(t, home, []string{"NOTIFY_SOCKET=" + filepath.Join(home, "nobody")})
	d.log.wait(t, "level=WARN", "service manager does not listen")
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
}
