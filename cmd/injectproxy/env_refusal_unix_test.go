//go:build unix

package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvWithoutItsServePrintsNothing(t *testing.T) {
	t.Parallel()
	home, other, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	for _, h := range []string{home, other} {
		settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, h)
	}
	d := startDaemon(t, home, nil)
	foreign := startDaemon(t, other, nil)
	settings{}.write(t, elsewhere)
	web := listenHTTP(t)
	silent := freePort(t)
	tests := map[string]struct {
		home, listen string
		status       int
		says         string
	}{
		"nobody":                {home, "127.0.0.1:" + silent, 1, "no serve answers at 127.0.0.1:" + silent},
		"a web server":          {home, web, 1, "is not injectproxy"},
		"another CA":            {home, foreign.addr, 1, "does not serve the CA in "},
		"a port that is unsaid": {home, "", 2, "says no port"},
		"no CA":                 {elsewhere, d.addr, 1, "there is no CA yet"},
		"not an address":        {home, "nowhere", 2, "--listen: "},
	}
	for name, tt := range tests {
		out, stderr, status := envCommand(t, userShell(t, tt.home), "--listen", tt.listen)
		if out != "" || status != tt.status || lineWith(stderr, "error: ", tt.says) == "" {
			t.Errorf("%s: exit status %d, stdout %q, stderr %q", name, status, out, stderr)
		}
	}
	if out, stderr, status := envCommand(t, userShell(t, home), "--shell", "csh"); out != "" || status != 2 {
		t.Errorf("csh: exit status %d, stdout %q, stderr %q", status, out, stderr)
	}
	if out, stderr, status := envCommand(t, userShell(t, elsewhere), "--unset"); out != "" || status != 0 {
		t.Errorf("--unset where nothing is set: exit status %d, stdout %q, stderr %q", status, out, stderr)
	}
}

// listenHTTP starts a web server that knows nothing of proxies, and returns
// its address.
func listenHTTP(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return l.Addr().String()
}

// Whoever has taken the port of serve gets no credential, unless it says that
// it is injectproxy.
func TestEnvShowsTheCredentialOnlyToWhoAsksLikeInjectproxy(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	startDaemon(t, home, nil) // makes the CA and the credential
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	heard := make(chan string, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4096)
			n, _ := c.Read(b)
			heard <- string(b[:n])
			io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	out, stderr, status := envCommand(t, userShell(t, home), "--listen", l.Addr().String())
	if out != "" || status != 1 || lineWith(stderr, "error: ", "is not injectproxy") == "" {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, out, stderr)
	}
	if first := <-heard; strings.Contains(strings.ToLower(first), "authorization") || len(heard) > 0 {
		t.Errorf("it was sent %q and %d more", first, len(heard))
	}
}

func TestWithoutATrustStoreJavaIsTakenOffTheProxy(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	d := startDaemon(t, home, nil)
	must(t, os.RemoveAll(filepath.Join(home, "ca", "truststore.jks")))    // which serve has written
	must(t, os.Mkdir(filepath.Join(home, "ca", "truststore.jks"), 0o700)) // permissions would not stop root
	shell := userShell(t, home, "INJECTPROXY_UPSTREAM=direct", "JAVA_TOOL_OPTIONS=-Dof=an-earlier-env")
	out, stderr, status := envCommand(t, shell, "--listen", d.addr)
	if status != 0 || lineWith(stderr, "note: Java is left alone: ") == "" || lineWith(out, "unset JAVA_TOOL_OPTIONS") == "" || lineWith(out, "export CURL_CA_BUNDLE=") == "" {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, out, stderr)
	}
}
