//go:build unix

package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFirstStartMakesWhatClientsNeed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := filepath.Join(t.TempDir(), "home")
	exchangeConfig(t, o, "", "").write(t, home)
	var roots, leaves []string
	for range 2 {
		d := startDaemon(t, home, nil)
		call(t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
		if seen := o.one(t); seen.bearer() != tokenA {
			t.Errorf("token %q arrived", seen.bearer())
		}
		for name, mode := range map[string]os.FileMode{"ca": 0o700, "credential": 0o600, "ca/intermediate.pem": 0o600, "ca/ca.pem": 0o644} {
			info, err := os.Stat(filepath.Join(home, name))
			must(t, err)
			if info.Mode().Perm() != mode {
				t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), mode)
			}
		}
		roots, leaves = append(roots, string(d.root().Raw)), append(leaves, d.leafKey("api.example.test:443"))
		wantBundle(t, filepath.Join(home, "ca", "bundle.pem"), d.root())
		d.signal(os.Interrupt)
		if status := d.stopped(); status != 0 {
			t.Errorf("exit status %d:\n%s", status, d.log)
		}
	}
	if roots[0] != roots[1] || leaves[0] == leaves[1] {
		t.Error("a restart keeps the CA and makes a new key for its leaves")
	}
}

// wantBundle fails the test unless the bundle has our root, that of
// upstream_ca and roots of the system, and nothing else.
func wantBundle(t *testing.T, name string, ours *x509.Certificate) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	system, err := x509.SystemCertPool()
	must(t, err)
	ofSystem, added := 0, 0
	for _, c := range certificates(t, b) {
		with := system.Clone()
		with.AddCert(c)
		switch {
		case c.Equal(ours), c.Equal(origins().cert):
			added++
		case with.Equal(system):
			ofSystem++
		default:
			t.Errorf("bundle.pem has %s", c.Subject)
		}
	}
	if added != 2 || ofSystem == 0 && !system.Equal(x509.NewCertPool()) {
		t.Errorf("bundle.pem has %d roots of the system and %d of upstream_ca and ours", ofSystem, added)
	}
}

func TestBrokenTeamFileTurnsOffItsRulesAlone(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test", "other.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "", "[team.platform]\nprefixes = [\"https://api.example.test/team/\", \"https://other.example.test/\"]\naudiences = [\"b\"]\n")
	s.files = map[string]string{"a.token": tokenA, "b.token": tokenB, "rules.d/platform.toml": `team = "platform"

[[rule]]
prefix   = "https://api.example.test/team/x"
audience = "b"

[[rule]]
prefix   = "https://api.example.test/team/y"
audience = "a"
`}
	s.write(t, home)
	d := startDaemon(t, home, nil)
	if !strings.Contains(d.log.String(), "platform.toml:9:") {
		t.Errorf("the log does not name the line:\n%s", d.log)
	}
	c := d.client("h2", nil)
	for _, target := range []string{"https://api.example.test/team/x/1", "https://api.example.test/team/elsewhere", "https://other.example.test/"} {
		p := call(t, c, "GET", target, nil).problem(t, http.StatusBadGateway)
		if p.Error == nil || !strings.Contains(p.Detail, "platform.toml:9") || !strings.Contains(p.Hint, "injectproxy check") {
			t.Errorf("%s: %+v", target, p)
		}
		o.nothing(t)
	}
	call(t, c, "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	if seen := o.one(t); seen.bearer() != tokenA {
		t.Errorf("token %q arrived", seen.bearer())
	}
}

func TestRuleOutsideTheCAIsOffAndSaysHowToMendIt(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test", "other.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "", "")
	s.write(t, home)
	d := startDaemon(t, home, nil)
	d.signal(os.Interrupt)
	d.stopped()

	s.tables += rule("https://other.example.test/", `name = "added"`)
	s.write(t, home)
	d = startDaemon(t, home, nil)
	d.log.wait(t, "a rule is off", "rule=added", "other.example.test", "hint=")
	p := atDoor(t, d.addr, connectTo("other.example.test:443")).problem(t, http.StatusBadGateway)
	if p.Error == nil || !strings.Contains(p.Detail, "Rule added is off") || p.Hint != "injectproxy ca rotate" {
		t.Errorf("%+v", p)
	}
	o.nothing(t)
	call(t, d.client("h1", nil), "GET", "https://api.example.test/v1/x", nil).wantStatus(t, http.StatusOK)
	d.signal(os.Interrupt)
	d.stopped()

	for _, args := range [][]string{strings.Fields(p.Hint)[1:], {"ca", "rotate", "--finish"}} {
		if out, status := runToEnd(t, home, nil, args...); status != 0 {
			t.Fatal(out)
		}
	}
	d = startDaemon(t, home, nil)
	o.taken()
	call(t, d.client("h1", nil), "GET", "https://other.example.test/x", nil).wantStatus(t, http.StatusOK)
	if seen := o.one(t); seen.bearer() != tokenA {
		t.Errorf("token %q arrived", seen.bearer())
	}
}

func TestServeThatWouldProxyThroughItselfDoesNotStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ env, top, says string }{
		"environment":   {"HTTPS_PROXY=http://user:canary-password@127.0.0.1:PORT", `upstream_proxy = "env"`, "HTTPS_PROXY or HTTP_PROXY in the environment"},
		"by name":       {"http_proxy=localhost:PORT", `upstream_proxy = "env"`, "HTTPS_PROXY or HTTP_PROXY in the environment"},
		"configuration": {"", `upstream_proxy = "http://user:canary-password@127.0.0.1:PORT"`, "upstream_proxy in "},
	} {
		home, free := t.TempDir(), freePort(t)
		listening := fmt.Sprintf("listen = \"127.0.0.1:%s\"\n%s", free, strings.ReplaceAll(tt.top, "PORT", free))
		settings{top: listening, tables: fileAudiences + rule("https://api.example.test/")}.write(t, home)
		out, status := runToEnd(t, home, []string{strings.ReplaceAll(tt.env, "PORT", free)}, "serve")
		if status != 2 || lineWith(out, "error: "+tt.says, "names this proxy itself") == "" || lineWith(out, "hint: ") == "" {
			t.Errorf("%s: exit status %d:\n%s", name, status, out)
		}
		if strings.Contains(out, "canary-password") || strings.Contains(out, "msg=listening") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestSecondServeOnOnePortSaysSo(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{tables: fileAudiences + rule("https://api.example.test/")}.write(t, home)
	d := startDaemon(t, home, nil)
	out, status := runToEnd(t, home, nil, "serve", "--listen", d.addr)
	if status != 1 || lineWith(out, "error: "+d.addr+" is in use") == "" || lineWith(out, "hint: ", "--listen") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	if r := atDoor(t, d.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); r.status != http.StatusMethodNotAllowed {
		t.Errorf("the first one answers %d", r.status)
	}
}
