//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// What an upstream sends behind its answer is in no log. The Transport of
// net/http quotes it, past every logger that it was given.
func TestWhatComesBehindAnAnswerIsNotLogged(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\npanic serving a canary")
		io.Copy(io.Discard, c)
	}()
	home := t.TempDir()
	settings{top: "upstream_proxy = \"direct\"", tables: "[log]\nlevel = \"debug\""}.write(t, home)
	d := startDaemon(t, home, nil)
	atDoor(t, d.addr, "GET http://"+l.Addr().String()+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
	d.log.wait(t, "Unsolicited response", "level=DEBUG")
	if log := d.log.String(); strings.Contains(log, "canary") {
		t.Errorf("the log has what the upstream sent:\n%s", log)
	}
}
