//go:build unix

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// toolEnv is the environment of a program that finds the tools in home/bin, and
// no others of theirs on this machine before them.
func toolEnv(home string, more ...string) []string {
	return append([]string{"PATH=" + filepath.Join(home, "bin"), "AZURE_CONFIG_DIR=" + filepath.Join(home, "azure")}, more...)
}

// azAt puts a scripted az where a program with toolEnv finds it.
func azAt(t testing.TB, home string, a *entratest.Authority) *scriptedAz {
	t.Helper()
	return newScriptedAz(t, a, filepath.Join(home, "bin"), filepath.Join(home, "azure"))
}

// Nobody has asked for anything: nothing is started, nothing opened, nothing
// asked. The first request that needs a token is what asks for it.
func TestServeStartsNothingBeforeATokenIsNeeded(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h2", nil, "api.example.test", "other.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "", autoLogin)
	s.entra = a
	s.tables = autoLogin + strings.Replace(azAudience, `["az"]`, `["az", "device-code", "browser"]`, 1) +
		"[audience.b]\nclient_id = \"" + apiTwo + "\"\n[audience.c]\nclient_id = \"" + apiTwo + "\"\nsources = [\"azd\", \"powershell\"]\n" +
		rule("https://api.example.test/v1/") + strings.Replace(rule("https://api.example.test/v2/"), `"a"`, `"b"`, 1) +
		strings.Replace(rule("https://api.example.test/v3/"), `"a"`, `"c"`, 1)
	s.write(t, home)
	az := azAt(t, home, a)
	az.refuses(azSaid(t, "not-signed-in"))
	env := toolEnv(home, "DISPLAY=:99", "BROWSER="+filepath.Join(home, "bin", "xdg-open"))
	for name, value := range a.IdentityEnv() { // what default would ask
		env = append(env, name+"="+value)
	}
	d := startDaemon(t, home, env)
	nothing := func(when string) {
		t.Helper()
		az.wantRuns(t, 0)
		if seen := a.Requests(); len(seen) > 0 {
			t.Errorf("%s: the identity service was asked %d times: %+v", when, len(seen), seen[0])
		}
	}
	nothing("started")
	c := d.client("h2", nil)
	call(t, c, "GET", "https://api.example.test/elsewhere", nil).wantStatus(t, http.StatusOK)         // forwarded
	call(t, c, "GET", "https://other.example.test/v1/x", nil).wantStatus(t, http.StatusOK)            // tunnelled
	call(t, c, "GET", "http://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)               // plain
	atDoor(t, d.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").wantStatus(t, http.StatusMethodNotAllowed) // not a proxy's
	nothing("after requests that need no token")
	o.taken()

	call(t, c, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	if _, err := a.Validate(o.one(t).bearer(), apiOne); err != nil {
		t.Error(err)
	}
	az.wantRuns(t, 2, "account")
	az.wantRuns(t, 1, "login")
	az.wantRuns(t, 3)
	if len(a.Requests()) > 0 {
		t.Error("the source of another audience was asked")
	}
	c.CloseIdleConnections() // or the tunnel has the time to drain
	d.signal(os.Interrupt)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
}

// A sign-in that is under way is nobody's once serve has ended.
func TestServeThatStopsLeavesNoSignInBehind(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "drain = \"50ms\"\n", "")
	s.entra, s.tables = a, autoLogin+azAudience+rule("https://api.example.test/")
	s.write(t, home)
	az := azAt(t, home, a)
	az.refuses(azSaid(t, "not-signed-in"))
	az.plays(az.asksPersons(nil)) // who never come
	d := startDaemon(t, home, toolEnv(home))
	left, c, req := make(chan struct{}), d.client("h2", nil), newGet(t, "https://api.example.test/x")
	go func() {
		defer close(left)
		trySend(c, req) // answered or cut off
	}()
	r := az.wait(1, "login")[0]
	d.signal(os.Interrupt)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
	r.wantGone(t)
	<-left
	o.nothing(t)
}
