//go:build unix

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// daemon is the real program, serving.
type daemon struct {
	t    testing.TB
	home string
	addr string
	log  *eventLog
	cmd  *exec.Cmd

	exited chan struct{} // closed once status is there
	status int
}

// startDaemon starts serve and returns once it listens.
func startDaemon(t testing.TB, home string, env []string, args ...string) *daemon {
	t.Helper()
	d := spawn(t, home, command(t, context.Background(), home, env, append([]string{"serve"}, args...)...))
	d.listening()
	return d
}

// spawn starts cmd, which is or becomes serve.
func spawn(t testing.TB, home string, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{t: t, home: home, log: new(eventLog), cmd: cmd, exited: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	must(t, d.cmd.Start())
	go func() {
		d.cmd.Wait()
		d.status = d.cmd.ProcessState.ExitCode()
		d.log.Write([]byte("msg=exited\n"))
		close(d.exited)
	}()
	t.Cleanup(func() { d.cmd.Process.Kill(); <-d.exited })
	return d
}

// listening returns once d listens.
func (d *daemon) listening() {
	d.t.Helper()
	line := d.log.waitAny(d.t, "msg=listening", "msg=exited")
	d.addr = regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(line + " address=none")[1]
	if d.addr == "none" {
		d.t.Fatalf("serve did not start:\n%s", d.log)
	}
}

// signal sends one signal.
func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	must(d.t, d.cmd.Process.Signal(s))
}

// stopped returns the exit status.
func (d *daemon) stopped() int {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(guard):
		d.t.Fatalf("serve does not end:\n%s", d.log)
	}
	return d.status
}

// root returns the CA's root, which clients of d trust.
func (d *daemon) root() *x509.Certificate {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.home, "ca", "ca.pem"))
	must(d.t, err)
	return certificates(d.t, b)[0]
}

// client returns a client of d, whose proxy URL carries the given user.
func (d *daemon) client(proto string, user *url.Userinfo) *http.Client {
	return clientOf(d.t, &url.URL{Scheme: "http", Host: d.addr, User: user}, d.root(), proto)
}

// exchangeConfig is the configuration of a daemon with one rule for
// api.example.test, which lines connect to o.
func exchangeConfig(t testing.TB, o *origin, top, tables string) settings {
	board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority, "other.example.test:443": o.authority})
	return settings{
		top:    fmt.Sprintf("upstream_proxy = %q\n%s", board.url(nil), top),
		tables: tables + fileAudiences + rule("https://api.example.test/v1/", `name = "api"`),
		files:  tokenFiles,
	}
}

// leafKey returns the public key that d shows for authority.
func (d *daemon) leafKey(authority string) string {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	must(d.t, err)
	defer conn.Close()
	io.WriteString(conn, connectTo(authority))
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"})
	must(d.t, err)
	res.Body.Close()
	pool := x509.NewCertPool()
	pool.AddCert(d.root())
	tc := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: strings.TrimSuffix(authority, ":443")})
	must(d.t, tc.Handshake())
	key, err := x509.MarshalPKIXPublicKey(tc.ConnectionState().PeerCertificates[0].PublicKey)
	must(d.t, err)
	return string(key)
}

// handedOut counts the ports that freePort has looked at.
var handedOut atomic.Int64

// freePort returns a port that is free, and that nobody else is given: no
// system takes one below 32768 for who leaves the choice to it, and no test here
// gets one that another has had.
func freePort(t testing.TB) string {
	t.Helper()
	const first, count = 20000, 12000
	for range 100 {
		p := first + (int64(os.Getpid())*97+handedOut.Add(1))%count
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.FormatInt(p, 10)))
		if err != nil {
			continue // somebody has it
		}
		defer l.Close()
		return port(l.Addr())
	}
	t.Fatal("no port is free between 20000 and 32000")
	return ""
}
