//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nginxBefore is a server with the block of the page, and one that lacks a line
// of it.
const nginxBefore = `daemon off; master_process off; pid %[1]s/pid; error_log stderr; events {}
http {
access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
ssl_certificate %[2]s/gate.pem; ssl_certificate_key %[2]s/gate.key;
server { listen unix:%[1]s/whole ssl; %[3]s }
server { listen unix:%[1]s/lacking ssl; %[4]s }
}
`

// nginx with what the page shows passes sessions and streams on; without its line
// for Host every request is for another host.
func TestNginxOfThePageOfTheGatePassesIt(t *testing.T) {
	t.Parallel()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		absent(t, "nginx: %v", err)
	}
	w := newGateWorld(t, `drain = "0s"`, `scopes = ["access_as_user"]`)
	clear := strings.Replace(w.read("gate.toml"), "[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n", "", 1)
	writeTestFile(t, filepath.Join(w.home, "gate.toml"), clear)
	d := w.start()

	block := ""
	for _, f := range fences("docs/gate.md", pageOfTheGate(t)) {
		if strings.HasPrefix(f.text, "location ") {
			block = strings.Replace(f.text, "127.0.0.1:8080", d.addr, 1)
		}
	}
	const host = "proxy_set_header   Host $http_host;"
	if !strings.Contains(block, host) || !strings.Contains(block, d.addr) {
		t.Fatalf("the page has %q", block)
	}
	dir, err := os.MkdirTemp("", "nginx") // a short one: it is for the names of sockets
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "nginx.conf")
	writeTestFile(t, conf, fmt.Sprintf(nginxBefore, dir, w.home, block, strings.Replace(block, host, "", 1)))
	cmd := exec.CommandContext(t.Context(), nginx, "-p", dir, "-c", conf)
	said := new(eventLog)
	cmd.Stdout, cmd.Stderr = said, said
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it ends by a signal
	})
	through := func(name string) *http.Client {
		c := w.client("")
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, name))
		}
		return c
	}
	c := through("whole")
	soon(t, "the gate is not ready behind nginx", func() bool {
		r, err := trySend(c, newGet(t, gateURL+"/readyz"))
		return err == nil && r.status == http.StatusOK
	})
	c = bearing(c, w.user("access_as_user"))
	s := connectGate(t, c)
	req := newGet(t, gateURL+"/mcp")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Mcp-Session-Id", s.ID())
	res, err := c.Do(req) // a silent stream that is held back has no header
	must(t, err)
	res.Body.Close()
	if got := says(t, s, "echo"); got != "served" {
		t.Errorf("echo: %s", got)
	}
	call(t, through("whole"), "POST", gateURL+"/mcp", nil).wantStatus(t, http.StatusUnauthorized)
	call(t, through("lacking"), "POST", gateURL+"/mcp", nil).wantStatus(t, http.StatusMisdirectedRequest)
	must(t, s.Close())
}
