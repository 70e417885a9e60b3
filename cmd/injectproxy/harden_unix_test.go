//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// debugging are the ways to ask net/http for its debug output.
var debugging = []string{"http2debug=1", "http2debug=2", "netdns=go,http2debug=2", "xhttp2debug=1", "http2debug=10"}

func TestWhatWouldPrintTokensIsRefused(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	for command, want := range map[string]int{"serve": 2, "login": 2, "doctor": 2, "exec -- true": 125} {
		for _, setting := range debugging {
			out, status := runToEnd(t, home, []string{"GODEBUG=" + setting}, strings.Fields(command)...)
			if status != want || lineWith(out, "error: GODEBUG=http2debug") == "" || lineWith(out, "hint: ", "unset GODEBUG") == "" {
				t.Errorf("%s with %s: exit status %d:\n%s", command, setting, status, out)
			}
			if command != "serve" {
				break // one is enough to see that it asks, too
			}
		}
	}
}

// A command that is debugged itself has its own GODEBUG, as the hint says.
func TestCommandOfExecMayBeDebugged(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/"), files: tokenFiles}.write(t, home)
	out, status := runToEnd(t, home, nil, "exec", "--", "env", "GODEBUG=http2debug=1", "sh", "-c", "echo GODEBUG is $GODEBUG")
	if status != 0 || lineWith(out, "GODEBUG is http2debug=1") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

func TestWhatWeakensTheProxyIsToldAndNothingElse(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "").write(t, home)
	keys := filepath.Join(home, "keys")
	d := startDaemon(t, home, []string{"GODEBUG=netdns=go,tlsrsakex=1, rsa1024min=0,http2debug=0,tlssha1=0", "SSLKEYLOGFILE=" + keys})
	call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, 200)
	log := d.log.String()
	for _, setting := range []string{"tlsrsakex=1", "rsa1024min=0"} {
		if lineWith(log, "GODEBUG weakens the proxy", `setting="`+setting+`"`, "effect=") == "" {
			t.Errorf("nothing is told of %s:\n%s", setting, log)
		}
	}
	if n := strings.Count(log, "GODEBUG"); n != 2 {
		t.Errorf("GODEBUG is told of %d times:\n%s", n, log)
	}
	if _, err := os.Stat(keys); !os.IsNotExist(err) {
		t.Errorf("the keys of connections were written: %v", err)
	}
}
