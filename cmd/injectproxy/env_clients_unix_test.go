//go:build unix

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/clientenv"
)

func TestRestartedServeFindsTheProxyThatWasThereBefore(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority})
	home, listen := t.TempDir(), "127.0.0.1:"+freePort(t)
	settings{
		top:    "listen = \"" + listen + "\"\nupstream_proxy = \"env\"",
		tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles,
	}.write(t, home)
	corporate := "HTTPS_PROXY=" + board.url(nil)
	d := startDaemon(t, home, []string{corporate})
	shell := userShell(t, home, corporate)
	for name, value := range envJSON(t, shell) {
		shell = append(shell, name+"="+value)
	}
	d.signal(os.Interrupt)
	if status := d.stopped(); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	d = startDaemon(t, home, shell[4:]) // but for PATH and the homes, which it has
	call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	board.mu.Lock()
	asked := slices.Clone(board.asked)
	board.mu.Unlock()
	if !slices.Contains(asked, "CONNECT api.example.test:443") {
		t.Errorf("the proxy of the network was asked %q", asked)
	}
	if got := clientenv.Before(shell); !slices.Equal(got, append(shell[:4:4], corporate)) {
		t.Errorf("before: %q", got[4:])
	}
}

func TestRestartedServeInAShellWithoutAnotherProxyGoesDirectly(t *testing.T) {
	t.Parallel()
	home, listen := t.TempDir(), "127.0.0.1:"+freePort(t)
	settings{
		top: "listen = \"" + listen + "\"\nupstream_proxy = \"env\"", tables: fileAudiences + rule("https://api.example.test/v1/"), files: tokenFiles,
	}.write(t, home)
	d := startDaemon(t, home, nil)
	shell := userShell(t, home)
	for name, value := range envJSON(t, shell) {
		shell = append(shell, name+"="+value)
	}
	d.signal(os.Interrupt)
	d.stopped()
	startDaemon(t, home, shell[4:])
}

// curl has nothing but what env printed.
func TestCurlGetsATokenByTheVariablesAlone(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		absent(t, "curl is not here")
	}
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "").write(t, home)
	d := startDaemon(t, home, nil)
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", `eval "$(injectproxy env --listen `+d.addr+`)"; curl -sS --max-time 60 https://api.example.test/v1/x`)
	cmd.Env = userShell(t, home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if seen := o.one(t); seen.bearer() != tokenA {
		t.Errorf("token %q arrived", seen.bearer())
	}
}

// Java has nothing but what env printed: a trust store and properties.
func TestJavaGetsATokenByTheVariablesAlone(t *testing.T) {
	t.Parallel()
	thorough(t)
	if _, err := exec.LookPath("javac"); err != nil {
		absent(t, "javac is not here")
	}
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := filepath.Join(t.TempDir(), `a "home" of 'mine'`)
	exchangeConfig(t, o, "", "").write(t, home)
	d := startDaemon(t, home, nil)
	if set := envJSON(t, userShell(t, home), "--listen", d.addr); !strings.Contains(set["JAVA_TOOL_OPTIONS"], "proxyHost") {
		absent(t, "here the proxy wants a credential, which Java takes from no variable")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", `eval "$(injectproxy env --listen `+d.addr+`)"; java -XX:TieredStopAtLevel=1 testdata/Get.java https://api.example.test/v1/x`)
	cmd.Env = userShell(t, home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if seen := o.taken(); len(seen) != 2 || seen[0].bearer() != tokenA || seen[1].bearer() != tokenA {
		t.Errorf("the server saw %+v", seen)
	}
}
