package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// activated returns the command of a serve to which systemd hands over sockets:
// it has them from descriptor 3 on, and variables that say so to its process
// alone.
func activated(t testing.TB, home string, env []string, sockets ...filer) *exec.Cmd {
	t.Helper()
	return handedOver(t, home, env, []string{"serve"}, sockets...)
}

// handedOver is activated for any command line.
func handedOver(t testing.TB, home string, env, args []string, sockets ...filer) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*guard)
	t.Cleanup(cancel)
	cmd := command(t, ctx, home, append(env, fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES=injectproxy.socket"))
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, installed(t)}, args...)
	for _, s := range sockets {
		f, err := s.File()
		must(t, err)
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

// filer is a socket of package net.
type filer interface{ File() (*os.File, error) }

// listenTCP returns a socket as systemd opens it.
func listenTCP(t testing.TB, address string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// Systemd keeps the socket open while serve is not running: who connects then
// is served by the next one.
func TestSocketOfSystemdIsServedAndOutlivesServe(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, fmt.Sprintf("listen = \"127.0.0.1:%s\"\n", freePort(t)), "").write(t, home)
	socket := listenTCP(t, "127.0.0.1:0")
	start := func() *daemon { return spawn(t, home, activated(t, home, nil, socket)) }
	d := start()
	d.listening()
	if d.addr != socket.Addr().String() {
		t.Errorf("serve listens on %s, not on the socket %s", d.addr, socket.Addr())
	}
	d.log.wait(t, "level=WARN", "takes the place of listen", socket.Addr().String())
	call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Fatalf("exit status %d:\n%s", status, d.log)
	}
	between, err := net.Dial("tcp", socket.Addr().String())
	must(t, err)
	defer between.Close()
	between.SetDeadline(time.Now().Add(guard))
	_, err = between.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	must(t, err)
	start()
	answer := make([]byte, 12)
	if n, err := between.Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 ") {
		t.Errorf("who connected between two serves got %q, %v", answer[:n], err)
	}
}

func TestSystemdSocketActivateStartsServe(t *testing.T) {
	t.Parallel()
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		absent(t, "systemd-socket-activate is not here: %v", err)
	}
	o := newOrigin(t, "h2", nil, "api.example.test")
	home, address := t.TempDir(), "127.0.0.1:"+freePort(t)
	exchangeConfig(t, o, fmt.Sprintf("listen = %q\n", address), "").write(t, home)
	cmd := activated(t, home, nil)
	cmd.Path, cmd.Args = activate, []string{activate, "--listen=" + address}
	for _, name := range []string{"INJECTPROXY_HOME", "HOME", "GORACE"} {
		cmd.Args = append(cmd.Args, "--setenv="+name)
	}
	cmd.Args = append(cmd.Args, installed(t), "serve")
	d := spawn(t, home, cmd)
	d.log.wait(t, "Listening on "+address)
	first, err := net.Dial("tcp", address)
	must(t, err)
	defer first.Close()
	d.listening()
	if d.addr != address || strings.Contains(d.log.String(), "takes the place") {
		t.Errorf("serve listens on %s:\n%s", d.addr, d.log)
	}
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
}

func TestSocketsThatSystemdShouldNotHandOver(t *testing.T) {
	t.Parallel()
	loopback := func(t *testing.T) []filer { return []filer{listenTCP(t, "127.0.0.1:0")} }
	everywhere := func(t *testing.T) []filer { return []filer{listenTCP(t, "0.0.0.0:0")} }
	tests := []struct {
		name    string
		tables  string
		sockets func(t *testing.T) []filer
		want    []string
	}{
		{"two", "", func(t *testing.T) []filer { return append(loopback(t), loopback(t)...) }, []string{"2 sockets", "ListenStream="}},
		{"unix", "", func(t *testing.T) []filer {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
			must(t, err)
			t.Cleanup(func() { l.Close() })
			return []filer{l}
		}, []string{"not of TCP"}},
		{"open to the network", "[access]\nmode = \"open\"\n", everywhere, []string{"lets everybody in the network", `mode = "credential"`}},
		{"sign-ins lent to the network", "[token]\nlogin = \"auto\"\n", everywhere, []string{"would lend all of them an identity"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			settings{tables: tt.tables + fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles}.write(t, home)
			out, _ := activated(t, home, nil, tt.sockets(t)...).CombinedOutput()
			if last := lineWith(string(out), "error: "); !strings.Contains(last, tt.want[0]) || strings.Contains(string(out), "msg=listening") {
				t.Errorf("serve says\n%s", out)
			}
			for _, part := range tt.want {
				if !strings.Contains(string(out), part) {
					t.Errorf("serve does not say %q:\n%s", part, out)
				}
			}
		})
	}
}

// What follows from an address that others can reach follows from such a
// socket, whatever the file says.
func TestSocketOpenToTheNetworkIsConfinedAsItsAddressWouldBe(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "").write(t, home)
	d := spawn(t, home, activated(t, home, nil, listenTCP(t, "0.0.0.0:0")))
	d.listening()
	d.addr = "127.0.0.1:" + d.addr[strings.LastIndex(d.addr, ":")+1:]
	credential, err := os.ReadFile(filepath.Join(home, "credential"))
	must(t, err)
	user := url.UserPassword("injectproxy", strings.TrimSpace(string(credential)))
	wants := func(user *url.Userinfo, want string) {
		t.Helper()
		res, err := d.client("h1", user).Get("https://other.example.test/")
		if err == nil {
			res.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an unlisted host through a shared socket: %v, want %q", err, want)
		}
	}
	wants(nil, "Proxy Authentication Required")
	wants(user, "Forbidden")
	d.signal(syscall.SIGHUP)
	d.log.wait(t, "configuration reloaded")
	wants(nil, "Proxy Authentication Required")
	wants(user, "Forbidden")
}

func TestChildrenDoNotInheritWhatSystemdSaid(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	seen := filepath.Join(home, "seen")
	s := exchangeConfig(t, o, "", fmt.Sprintf("[audience.told]\ntoken_command = [\"sh\", \"-c\", \"(env; ls -l /proc/self/fd) > %s; echo told\"]\n", seen))
	s.tables = strings.Replace(s.tables, `audience = "a"`, `audience = "told"`, 1)
	s.write(t, home)
	name, _ := notifySocket(t)
	socket := listenTCP(t, "127.0.0.1:0")
	d := spawn(t, home, activated(t, home, []string{"NOTIFY_SOCKET=" + name}, socket))
	d.listening()
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	if got := o.one(t).bearer(); got != "told" {
		t.Fatalf("token %q arrived", got)
	}
	b, err := os.ReadFile(seen)
	must(t, err)
	for _, part := range []string{"LISTEN_", "NOTIFY_SOCKET", "socket:"} {
		if strings.Contains(string(b), part) {
			t.Errorf("a child sees %s:\n%s", part, b)
		}
	}
}
